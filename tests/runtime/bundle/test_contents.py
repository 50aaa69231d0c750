"""What belongs to a bundle: a bundle is replaced only as a whole and only if nothing is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from calibration.errors import CalibrationError
from calibration.write import check_writable
from denet.errors import DenetError
from denet.temporary import LOCK
from export.bundle import check_out as check_export
from runtime.bundle.bundle import Bundle
from runtime.bundle.contents import check_out, foreign_files
from runtime.bundle.manifest import BUILT
from runtime.bundle.slim import slim
from runtime.bundle.writing import link as take
from tests.conftest import copied


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def web_app(path: Path, _bundle: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "my web app"}')
    (path / "thesis.txt").write_text("precious")


def with_file(name: str) -> Callable[[Path, Path], None]:
    def make(path: Path, bundle: Path) -> None:
        shutil.copytree(bundle, path)
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("precious")

    return make


def with_folder(path: Path, bundle: Path) -> None:
    shutil.copytree(bundle, path)
    (path / "notes").mkdir()


def unknown_manifest(path: Path, bundle: Path) -> None:
    shutil.copytree(bundle, path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


FOREIGN: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a web app": (web_app, "no bundle that this version knows"),
    "an empty folder": (lambda path, _: path.mkdir(), "is not a bundle"),
    "a file": (lambda path, _: path.write_text("precious"), "is not a bundle"),
    "a thesis in it": (with_file("thesis.txt"), "thesis.txt"),
    "one beside the engines": (with_file("onnx/fp32/notes.txt"), "onnx/fp32/notes.txt"),
    "one below an engine's folder": (with_file("onnx/mine/a.onnx"), "onnx/mine"),
    "one among built engines": (with_file(f"{BUILT}/orin/notes.txt"), f"{BUILT}/orin/notes.txt"),
    "a hidden one": (with_file(".git/config"), ".git"),
    "a folder": (with_folder, "notes"),
    "a bundle of another version": (unknown_manifest, "bundle schema 99"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_force_replaces_no_folder_that_holds_something_else(
    bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    make, words = FOREIGN[kind]
    out = tmp_path / "out.denet"
    make(out, bundle.root)
    before = everything(tmp_path)
    for attempt in (
        lambda: slim(bundle, out, "fp32", replace=True),
        lambda: check_export(out, replace=True),
        lambda: check_out(out, CalibrationError, replace=True),
    ):
        with pytest.raises(DenetError, match=re.escape(words)) as error:
            attempt()
        assert str(error.value).startswith(f"{out}: ")
        assert "\n" not in str(error.value)
    assert everything(tmp_path) == before


def test_what_a_calibration_would_drop_is_named_before_it_begins(
    bundle: Bundle, tmp_path: Path
) -> None:
    root = copied(bundle.root, tmp_path)
    check_writable(Bundle.open(root))
    (root / "README.md").write_text("precious")
    with pytest.raises(CalibrationError, match=r"holds what is not the bundle's: README\.md"):
        check_writable(Bundle.open(root))


def test_what_denet_puts_into_a_bundle_belongs_to_it(bundle: Bundle, tmp_path: Path) -> None:
    root = copied(bundle.root, tmp_path)
    for name in ("timing.cache", ".lock", "fp32/branch.engine", "fp32/branch.json"):
        path = root / BUILT / "orin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    killed = root / BUILT / "orin" / "fp32" / ".branch.engine.abcdefgh.tmp"
    killed.mkdir()
    (killed / LOCK).touch()
    assert not list(foreign_files(root, bundle.manifest))
    slim(bundle, root, "fp32", replace=True)
    assert not (root / BUILT).exists()


def test_a_damaged_bundle_is_replaced(bundle: Bundle, tmp_path: Path) -> None:
    root = copied(bundle.root, tmp_path)
    (root / bundle.manifest.canary.file.path).unlink()
    slim(bundle, root, "fp32", replace=True).verify()


def test_a_link_to_a_bundle_stays_a_link(bundle: Bundle, tmp_path: Path) -> None:
    root = copied(bundle.root, tmp_path)
    link = tmp_path / "current.denet"
    link.symlink_to(root.name)
    inode = root.stat().st_ino
    slim(bundle, link, "fp32", replace=True).verify()
    assert link.is_symlink()
    assert root.stat().st_ino != inode
    assert {p.name for p in tmp_path.iterdir()} == {root.name, link.name}


def test_a_bundle_of_links_is_copied_by_what_they_lead_to(bundle: Bundle, tmp_path: Path) -> None:
    blobs, root = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    for number, path in enumerate(sorted(p for p in bundle.root.rglob("*") if p.is_file())):
        link = root / path.relative_to(bundle.root)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, blobs / str(number))
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    for file in {file.path: file for file in bundle.manifest.files()}.values():
        take(root, tmp_path / "taken", file)
    taken = [p for p in (tmp_path / "taken").rglob("*") if not p.is_dir()]
    assert taken
    assert not [p for p in taken if p.is_symlink()]
    assert {p.stat().st_ino for p in taken} <= {p.stat().st_ino for p in blobs.iterdir()}


def test_the_next_who_opens_a_bundle_finds_it_and_no_stray(bundle: Bundle, tmp_path: Path) -> None:
    root = copied(bundle.root, tmp_path)
    stray = tmp_path / f".{root.name}.abcdefgh.tmp"
    stray.mkdir()
    (stray / LOCK).touch()
    (stray / "new").mkdir()
    root.rename(stray / "old")
    Bundle.open(root).verify()
    assert list(tmp_path.iterdir()) == [root]


def test_a_place_that_cannot_be_written_is_found_before_the_work(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    root = copied(bundle.root, tmp_path)
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    for attempt in (
        lambda: check_writable(Bundle.open(root)),
        lambda: slim(bundle, tmp_path / "new.denet", "fp32"),
        lambda: check_export(tmp_path / "new.denet", replace=False),
    ):
        with pytest.raises(DenetError, match="cannot be written: Read-only file system"):
            attempt()
