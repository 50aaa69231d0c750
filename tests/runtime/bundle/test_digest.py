"""A manifest that is not as it was written is refused, and so is one that says what cannot be."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Bundle, BundleError, Runtime
from runtime.bundle.manifest import MANIFEST, parse_manifest
from tests.runtime.bundle.damage import assert_refused, edit_manifest


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_of_a_manifest_is_refused(bundle_path: Path) -> None:
    path = bundle_path / MANIFEST
    content = path.read_bytes()
    bits = 8 * len(content)
    chosen = {*random.Random(0).sample(range(bits), 4000), *range(bits - 8 * 90, bits)}
    for bit in chosen:
        with pytest.raises(BundleError, match=r"manifest\.json"):
            parse_manifest(path, flipped(content, bit))
    parse_manifest(path, content)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_other_manifest_is_refused(bundle_path: Path, data: st.DataObject) -> None:
    path = bundle_path / MANIFEST
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 40)))
    other = content[:start] + data.draw(st.binary(max_size=40)) + content[stop:]
    if other != content:
        with pytest.raises(BundleError, match=r"manifest\.json"):
            parse_manifest(path, other)


def test_white_space_is_covered_too(bundle_path: Path) -> None:
    path = bundle_path / MANIFEST
    content = path.read_bytes()
    for other in (content + b"\n", content[:-1], b" " + content, content.replace(b"  ", b"\t", 1)):
        with pytest.raises(BundleError, match="digest"):
            parse_manifest(path, other)


def test_the_digest_is_of_the_bytes_before_it(bundle_path: Path) -> None:
    content = (bundle_path / MANIFEST).read_bytes()
    body, mark, rest = content.rpartition(b'"digest": "')
    assert rest == hashlib.sha256(body + mark).hexdigest().encode() + b'"\n}\n'


def test_an_earlier_schema_is_refused(copied: Path) -> None:
    edit_manifest(copied, lambda d: d.update(schema=1))
    assert_refused(lambda: Bundle.open(copied), "manifest.json", "schema 1", "export the bundle")


def normalization(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["preprocessing"]["modalities"]["tir"].update(changes)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (normalization(std=[0.0, 0.2, 0.2]), "std"),
        (normalization(std=[-0.2, 0.2, 0.2]), "std"),
        (normalization(std=[1e-300, 0.2, 0.2]), "std"),
        (normalization(mean=[1e300, 0.2, 0.2]), "mean"),
        (normalization(range16=[10, 10]), "range16"),
        (normalization(range16=[4000, 100]), "range16"),
        (normalization(range16=[-1e300, 100]), "range16"),
        (normalization(range16=[0, 1 << 62]), "range16"),
        (lambda d: d["preprocessing"].update(height=10**9), "height"),
        (lambda d: d["preprocessing"].update(height=65), "branch_rgb"),
        (lambda d: d.update(channels=0), "channels"),
        (lambda d: d.update(channels=256), "branch_rgb"),
        (lambda d: d.update(feature_size=[2, 4]), "branch_rgb"),
        (lambda d: d.update(feature_size=[65, 2]), "feature map"),
        (lambda d: d.update(checkpoint_sha256="none"), "checkpoint_sha256"),
        (lambda d: d["canary"]["min_cosine"].update(fp32=0), "min_cosine"),
        (lambda d: d["canary"]["min_cosine"].update(fp32=1.5), "min_cosine"),
        (lambda d: d["canary"]["min_cosine"].clear(), "no limit for fp32"),
        (lambda d: d["engines"]["branch_rgb"].update(flops=-1), "flops"),
        (lambda d: d["engines"]["branch_rgb"].update(inputs=[]), "branch_rgb"),
        (lambda d: d["engines"]["branch_rgb"]["outputs"].reverse(), None),
        (lambda d: d["engines"]["branch_rgb"]["outputs"].pop(), "branch_rgb"),
        (lambda d: d["engines"]["cmft_rgb2nir"]["inputs"][0].update(name="x"), "cmft_rgb2nir"),
        (lambda d: d["engines"]["dem_rgb2nir"]["inputs"][1].update(shape=["B", 512]), "dem_rgb2"),
        (lambda d: d["head"].update(dim=0), "dim"),
        (lambda d: d["head"].update(dim=512), "nothing projects 3072 numbers to 512"),
        (
            lambda d: d["engines"]["branch_rgb"]["files"]["fp32"].update(bytes=1 << 40),
            "bytes",
        ),
        (lambda d: d["canary"]["file"].update(path="onnx/fp32/branch_rgb.onnx"), "twice"),
    ],
)
def test_what_nobody_can_compute_with_is_refused_though_the_digest_is_right(
    copied: Path, edit: Callable[[dict[str, Any]], object], words: str | None
) -> None:
    edit_manifest(copied, edit)
    if words is None:  # the order of tensors means nothing
        Bundle.open(copied)
    else:
        assert_refused(lambda: Bundle.open(copied), "manifest.json", words)


@pytest.mark.parametrize("length", [5 << 20, 100 << 20])
def test_a_manifest_without_end_is_refused_before_it_is_parsed(copied: Path, length: int) -> None:
    (copied / MANIFEST).unlink()
    with (copied / MANIFEST).open("wb") as stream:
        stream.write(b'{"format": "denet-bundle", "schema": 2, "x": "')
        stream.truncate(length)
    assert_refused(lambda: Bundle.open(copied), "manifest.json", "bytes")


def test_a_manifest_that_is_a_pipe_is_refused(copied: Path) -> None:
    (copied / MANIFEST).unlink()
    os.mkfifo(copied / MANIFEST)
    assert_refused(lambda: Runtime.load(copied), "manifest.json")
