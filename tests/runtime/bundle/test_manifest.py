"""What a manifest must say, and which graph it is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denet.graph import RGB_NIR_TIR, Graph
from runtime import Bundle
from tests.runtime.bundle.damage import assert_refused, edit_manifest, put


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda d: d["engines"].pop("dem_rgb2nir"), "dem_rgb2nir"),
        (lambda d: d["engines"].update(dem_rgb2rgb=d["engines"]["dem_rgb2nir"]), "dem_rgb2rgb"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["engines"]["branch_rgb"].update(surprise=1), "surprise"),
        (lambda d: d["canary"]["file"].update(surprise=1), "surprise"),
        (lambda d: d.pop("head"), "head"),
        (lambda d: d["preprocessing"].update(height="64"), "height"),
        (lambda d: d["preprocessing"].update(height=0), "height"),
        (lambda d: d["preprocessing"].update(interpolation="nearest"), "interpolation"),
        (lambda d: d["preprocessing"]["modalities"].pop("tir"), "tir"),
        (lambda d: d["preprocessing"]["modalities"]["tir"].update(mean=[0.5]), "mean"),
        (lambda d: d["engines"].update(branch_rgb=[]), "engines"),
        (lambda d: d.update(engines={}), "branch_rgb"),
        (lambda d: d["engines"]["branch_rgb"].update(flops=1.5), "flops"),
        (lambda d: d["engines"]["branch_rgb"]["files"].clear(), "fp32"),
        (lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(bytes=-1), "bytes"),
        (lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(sha256="0"), "sha256"),
        (lambda d: d["engines"]["branch_rgb"]["files"].update(fp8={}), "files"),
        (lambda d: d.update(default_precision="int8"), "int8"),
        (lambda d: d.update(schema=3), "schema 3"),
        (lambda d: d.update(schema=None), "schema None"),
        (lambda d: d.update(schema="1"), "schema '1'"),
        (lambda d: d.pop("schema"), "schema None"),
        (lambda d: d.update(format="other"), "denet bundle"),
        (lambda d: d.pop("format"), "denet bundle"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    copied: Path, edit: Callable[[dict[str, Any]], object], named: str
) -> None:
    edit_manifest(copied, edit)
    assert_refused(lambda: Bundle.open(copied), "manifest.json", named)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe\0",
        b"[]",
        b"null",
        b'"denet-bundle"',
        b'{"format": "denet-bundle", "schema": 2}',
        b"[" * 100_000,
        b'{"format": "denet-bundle", "schema": 1e999}',
    ],
    ids=["empty", "text", "binary", "list", "null", "string", "bare", "deep", "huge"],
)
def test_a_manifest_that_is_none_is_refused(copied: Path, content: bytes) -> None:
    put(copied / "manifest.json", content)
    assert_refused(lambda: Bundle.open(copied), "manifest.json")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_manifest_is_refused(copied: Path, share: float) -> None:
    content = (copied / "manifest.json").read_bytes()
    put(copied / "manifest.json", content[: int(len(content) * share)])
    assert_refused(lambda: Bundle.open(copied), "manifest.json", "damaged")


def without(modality: str, *, engines: bool) -> Callable[[dict[str, Any]], object]:
    """Takes a modality out of a manifest, with its engines or without."""

    def edit(document: dict[str, Any]) -> None:
        del document["preprocessing"]["modalities"][modality]
        if engines:
            for name in [name for name in document["engines"] if modality in name]:
                del document["engines"][name]
            count = len(document["preprocessing"]["modalities"])
            halves = 1 if count == 1 else 2  # c(S), and c({anchor}) where that is another
            document["head"]["dim"] = halves * count * document["channels"]

    return edit


def test_the_graph_is_that_of_the_modalities_that_have_preprocessing(
    bundle: Bundle, copied: Path
) -> None:
    assert bundle.manifest.graph == bundle.graph == RGB_NIR_TIR
    edit_manifest(copied, without("nir", engines=True))
    assert Bundle.open(copied).graph == Graph(("rgb", "tir"))
    edit_manifest(copied, without("rgb", engines=True))
    assert Bundle.open(copied).graph == Graph(("tir",))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (without("nir", engines=False), "no preprocessing for nir"),
        (
            lambda d: d["preprocessing"]["modalities"].clear(),
            "no preprocessing for rgb, nir, tir",
        ),
        (
            lambda d: (d["preprocessing"]["modalities"].clear(), d["engines"].clear()),
            "no preprocessing for any modality",
        ),
        (lambda d: d["engines"].clear(), "lists no engine branch_rgb, branch_nir, branch_tir, cm"),
        (
            lambda d: d["engines"].update(branch_uv=d["engines"]["branch_rgb"]),
            "lists an unknown engine branch_uv",
        ),
        (
            lambda d: d["engines"].update(head=d["engines"]["branch_rgb"]),
            "lists an unknown engine head",
        ),
        (
            lambda d: d["preprocessing"]["modalities"].update(
                uv=d["preprocessing"]["modalities"]["rgb"]
            ),
            "preprocessing for an unknown modality 'uv': choose from rgb, nir, tir",
        ),
    ],
)
def test_engines_and_modalities_that_do_not_fit_are_refused(
    copied: Path, edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    edit_manifest(copied, edit)
    assert_refused(lambda: Bundle.open(copied), f"manifest.json: {reason}")
