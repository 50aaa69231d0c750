"""Bundles whose files are links, as in the cache of a model hub."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from runtime import Bundle, Runtime
from runtime.bundle.slim import slim
from tests.runtime.bundle.damage import BRANCH, assert_refused, put


@pytest.fixture
def hub(bundle_path: Path, tmp_path: Path) -> Path:
    """A snapshot in a hub's cache: each file a relative link to a blob named by its digest."""
    model = tmp_path / "hub" / "models--some--model"
    snapshot = model / "snapshots" / "0123abc"
    (model / "blobs").mkdir(parents=True)
    for path in (p for p in bundle_path.rglob("*") if p.is_file()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if not (model / "blobs" / digest).exists():
            os.link(path, model / "blobs" / digest)
        link = snapshot / path.relative_to(bundle_path)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(model / "blobs" / digest, link.parent))
    return snapshot


def test_a_snapshot_of_a_hub_is_a_bundle(hub: Path) -> None:
    Bundle.open(hub).verify()
    Runtime.load(hub, "ort-cpu", preload=True).close()


def test_its_bytes_are_checked(hub: Path) -> None:
    blob = (hub / BRANCH).resolve()
    put(blob, b"\0" + blob.read_bytes()[1:])
    assert_refused(Bundle.open(hub).verify, "branch_rgb.onnx", "sha256")


@pytest.mark.parametrize("path", [BRANCH, "manifest.json"])
def test_a_link_that_leaves_the_cache_is_refused(hub: Path, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    os.link((hub / path).resolve(), outside)
    (hub / path).unlink()
    (hub / path).symlink_to(outside)
    assert_refused(lambda: Bundle.open(hub), path, "leaves", "DENET_BUNDLE_ROOTS")


def test_blobs_that_are_a_link_themselves_widen_nothing(hub: Path, tmp_path: Path) -> None:
    blobs = hub.parent.parent / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    assert_refused(lambda: Bundle.open(hub), "leaves")


def test_a_user_widens_where_links_may_lead(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (copied / BRANCH).rename(store / "blob")
    (copied / BRANCH).symlink_to(store / "blob")
    assert_refused(lambda: Bundle.open(copied), "branch_rgb.onnx", "leaves")
    Bundle.open(copied, [store]).verify()
    monkeypatch.setenv("DENET_BUNDLE_ROOTS", os.pathsep.join(["/nowhere", str(store)]))
    Bundle.open(copied).verify()


def test_what_is_made_of_links_holds_files(hub: Path, tmp_path: Path) -> None:
    made = slim(Bundle.open(hub), tmp_path / "slim.denet", "fp32")
    files = [p for p in made.root.rglob("*") if not p.is_dir()]
    assert files
    assert not any(p.is_symlink() for p in files)
    made.verify()
