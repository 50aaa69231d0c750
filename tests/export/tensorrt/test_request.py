"""What a user writes to build engines."""

from __future__ import annotations

import pytest

from export.tensorrt.request import BuildError, parse_batch
from runtime import Bundle
from runtime.backends.tensorrt.files import (
    profile_of,
)
from tests.export.tensorrt.parts import BRANCH, EDGE


@pytest.mark.parametrize(
    ("text", "batch"), [("1:1:16", (1, 1, 16)), ("1:4:16", (1, 4, 16)), ("8:8:8", (8, 8, 8))]
)
def test_a_profile_is_read(text: str, batch: tuple[int, int, int]) -> None:
    assert parse_batch(text) == batch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "1:4",
        "1:4:16:32",
        "0:1:4",
        "4:1:16",
        "1:8:4",
        "-1:1:4",
        "1:x:4",
        "1: 4:16",
        "1:4:9999999",
    ],
)
def test_a_bad_profile_is_refused_and_named(text: str) -> None:
    with pytest.raises(BuildError, match=f"--batch {text}"):
        parse_batch(text)


def test_a_profile_covers_batches_and_targets(bundle: Bundle) -> None:
    engines = bundle.manifest.engines
    assert profile_of(engines[BRANCH], (1, 4, 16)) == {
        "image": ((1, 3, 64, 32), (4, 3, 64, 32), (16, 3, 64, 32))
    }
    edge = profile_of(engines[EDGE], (1, 4, 16))
    assert edge["feature"] == ((1, 512, 4, 2), (4, 512, 4, 2), (16, 512, 4, 2))
    assert edge["base"] == edge["sum"] == ((1, 1, 512), (2, 4, 512), (2, 16, 512))
