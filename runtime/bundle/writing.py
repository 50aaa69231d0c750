"""Writing the files of a bundle, into a folder that is not a bundle yet."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from denet.files import sync_file
from denet.temporary import SUFFIX
from runtime.bundle.manifest import MANIFEST, File, Manifest
from runtime.seal import sealed


def store(root: Path, path: str, content: bytes) -> File:
    """Write a file of the bundle at `root`, down to the disk."""
    destination = root / path
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return File(path=path, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as an npz file; equal arrays give equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def store_manifest(root: Path, manifest: Manifest) -> None:
    """Write the manifest of the bundle at `root`."""
    store(root, MANIFEST, sealed(manifest))


def link(source: Path, destination: Path, file: File) -> None:
    """Take a file over from the bundle at `source`, as the same file where there is such a thing.

    The files of a bundle are never changed in place, so both may have it.
    """
    (destination / file.path).parent.mkdir(parents=True, exist_ok=True)
    _linked(str(source / file.path), str(destination / file.path))


def link_folder(source: Path, destination: Path) -> None:
    """Take a folder over as `link` takes a file; none where there is none."""
    if source.is_dir():
        unfinished = shutil.ignore_patterns(f".*{SUFFIX}")
        shutil.copytree(source, destination, ignore=unfinished, copy_function=_linked)


def _linked(source: str, destination: str) -> None:
    source = os.path.realpath(source)  # a link that is relative leads elsewhere from there
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
        sync_file(Path(destination))
