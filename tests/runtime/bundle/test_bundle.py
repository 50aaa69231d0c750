"""Bundles on disk: damaged ones, and paths that lead elsewhere, are refused."""

from __future__ import annotations

import shutil
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, Runtime
from tests.runtime.bundle.damage import BRANCH, assert_refused, edit_manifest, put, set_path


def test_the_fixture_bundle_is_whole(bundle_path: Path) -> None:
    Bundle.open(bundle_path).verify()


@pytest.mark.parametrize("path", [BRANCH, "onnx/fp32/dem_tir2rgb.onnx", "canary.npz"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_changed_byte_is_found_before_anything_is_loaded(
    copied: Path, path: str, where: str
) -> None:
    content = bytearray((copied / path).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[where]] ^= 1
    put(copied / path, bytes(content))
    bundle = Bundle.open(copied)
    file = next(f for f in bundle.manifest.files() if f.path == path)
    name = Path(path).name
    assert_refused(bundle.verify, name, "sha256")
    assert_refused(lambda: bundle.read(file), name, "sha256")
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", preload=True), name, "sha256")
    assert_refused(lambda: Runtime.load(bundle, "ort-cpu", check=True), name, "sha256")


def test_a_damaged_file_that_is_not_needed_yet_is_found_meanwhile(copied: Path) -> None:
    path = "onnx/fp32/cmft_tir2nir.onnx"
    put(copied / path, b"\0" + (copied / path).read_bytes()[1:])
    rgb = {"rgb": np.zeros((64, 32, 3), np.uint8)}
    with Runtime.load(copied, "ort-cpu") as loaded:
        wait([loaded._verification])
        for action in (
            lambda: loaded.embed(rgb),
            lambda: loaded.prepare([RGB_NIR_TIR.parse("rgb")]),
            lambda: loaded.embed(rgb),  # again and again
        ):
            assert_refused(action, "cmft_tir2nir.onnx", "sha256")


def test_a_file_that_changes_after_opening_is_refused_when_it_is_read(copied: Path) -> None:
    bundle = Bundle.open(copied)
    put(copied / BRANCH, (copied / BRANCH).read_bytes()[:-1] + b"\0\0")
    assert_refused(lambda: bundle.read_engine("branch_rgb", "fp32"), "branch_rgb.onnx")
    (copied / BRANCH).unlink()
    assert_refused(lambda: bundle.read_engine("branch_rgb", "fp32"), "branch_rgb.onnx")


def test_an_engine_damaged_after_loading_is_refused_when_it_is_first_needed(copied: Path) -> None:
    loaded = Runtime.load(copied, "ort-cpu")
    wait([loaded._verification])
    path = copied / "onnx/fp32/branch_tir.onnx"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    put(path, bytes(content))
    image = np.zeros((8, 8), np.uint8)
    assert loaded.embed({"rgb": image}).shape == (loaded.dim,)
    assert_refused(lambda: loaded.embed({"tir": image}), "branch_tir.onnx", "sha256")


@pytest.mark.parametrize("path", [BRANCH, "canary.npz"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_truncated_file_is_refused(copied: Path, path: str, length: int) -> None:
    put(copied / path, (copied / path).read_bytes()[:length])
    assert_refused(lambda: Bundle.open(copied), Path(path).name, f"{length} bytes")


@pytest.mark.parametrize("path", [BRANCH, "canary.npz"])
def test_a_missing_file_is_refused(copied: Path, path: str) -> None:
    (copied / path).unlink()
    assert_refused(lambda: Bundle.open(copied), Path(path).name, "missing")


def test_a_directory_in_the_place_of_a_file_is_refused(copied: Path) -> None:
    (copied / BRANCH).unlink()
    (copied / BRANCH).mkdir()
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx")


@pytest.mark.parametrize(
    "path",
    [
        "../outside.onnx",
        "onnx/../../outside.onnx",
        "onnx/../onnx/fp32/branch_rgb.onnx",  # ends inside, but no exporter writes it
        "/etc/hostname",
        "onnx\\fp32\\branch_rgb.onnx",
        "..\\outside.onnx",
        "C:\\outside.onnx",
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(copied: Path, path: str) -> None:
    shutil.copy(copied / BRANCH, copied.parent / "outside.onnx")
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied), "manifest.json", repr(path), "leaves")


@pytest.mark.parametrize("path", ["", ".", "onnx", "onnx/fp32/none.onnx"])
def test_a_path_that_is_no_file_is_refused(copied: Path, path: str) -> None:
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied), str(copied / path))


@pytest.mark.parametrize("path", ["onnx/\0.onnx", "x" * 5000 + ".onnx"], ids=["null", "long"])
def test_a_path_that_no_file_can_have_is_refused(copied: Path, path: str) -> None:
    edit_manifest(copied, set_path(path))
    assert_refused(lambda: Bundle.open(copied))


def test_a_symbolic_link_that_leaves_the_bundle_is_refused(copied: Path) -> None:
    outside = copied.parent / "outside.onnx"
    shutil.copy(copied / BRANCH, outside)
    (copied / BRANCH).unlink()
    (copied / BRANCH).symlink_to(outside)
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx", "leaves")


def test_a_linked_folder_that_leaves_the_bundle_is_refused(copied: Path) -> None:
    (copied / "onnx").rename(copied.parent / "onnx")
    (copied / "onnx").symlink_to(copied.parent / "onnx")
    assert_refused(lambda: Bundle.open(copied), "leaves")


def test_a_symbolic_link_inside_the_bundle_and_to_the_bundle_is_followed(copied: Path) -> None:
    (copied / BRANCH).rename(copied / "branch.onnx")
    (copied / BRANCH).symlink_to(copied / "branch.onnx")
    link = copied.parent / "link.denet"
    link.symlink_to(copied)
    Bundle.open(link).verify()


def test_a_symbolic_link_to_itself_is_refused(copied: Path) -> None:
    (copied / BRANCH).unlink()
    (copied / BRANCH).symlink_to(copied / BRANCH)
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.denet"
    file.write_bytes(b"")
    for root, reason in [
        (tmp_path, "no manifest.json"),
        (tmp_path / "none.denet", "no such bundle"),
        (file, "not a bundle"),
        (file / "below", "no such bundle"),
    ]:
        assert_refused(lambda root=root: Bundle.open(root), str(root), reason)
        assert_refused(lambda root=root: Runtime.load(str(root)), str(root))
