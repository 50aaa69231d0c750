"""What msgspec says, as a person who wrote the file would say it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from denet.errors import DenetError
from denet.reading import reading
from denet.recipe import read_recipe
from denet.validation import in_plain_words


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    count: Annotated[int, msgspec.Meta(ge=1)]


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"inner": {"count": 1, "cuont": 2}}, "unknown key 'cuont' in [inner]: "),
        ({"inner": {"count": 1}, "other": 2}, "unknown key 'other' in the file: "),
        ({"inner": {}}, "inner.count: is missing"),
        ({}, "inner: is missing"),
        ({"inner": {"count": "a secret"}}, "inner.count: "),
        ({"inner": {"count": 0}}, "inner.count: "),
    ],
)
def test_the_key_comes_first_and_no_value_is_repeated(
    document: dict[str, object], place: str
) -> None:
    with pytest.raises(DenetError) as refused, reading("FILE", DenetError, "no settings"):
        msgspec.convert(document, Outer)
    said = str(refused.value)
    assert said.startswith(f"FILE: no settings: {place}")
    assert "$" not in said
    assert "secret" not in said


def test_a_table_within_a_file_is_named() -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({"count": 0}, Inner)
    assert in_plain_words(str(refused.value), "inner").startswith("inner.count: ")


@pytest.mark.parametrize("text", ["", "incorrect header check", "a - at b", "50 $"])
def test_other_texts_stay(text: str) -> None:
    assert in_plain_words(text) == text


def test_a_recipe_names_the_key_and_its_table(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[train]\nepoch = 3\n")
    with pytest.raises(DenetError, match=r"unknown key 'epoch' in \[train\]"):
        read_recipe(None, path)
