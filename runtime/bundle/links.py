"""Where the files of a bundle may be: in it, or where links of it may lead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "DENET_BUNDLE_ROOTS"
"""Of the environment: folders that links in bundles may lead to, with `os.pathsep` between."""


def allowed_roots(root: Path, more: Iterable[Path] = ()) -> tuple[Path, ...]:
    """The folders, without links, in which the files of the bundle at `root` may be.

    That is the bundle itself; for one in the cache of a model hub (`snapshots/REVISION`, whose
    files are links to `blobs/`) the blobs of its model; those that the environment names; and
    `more`.

    Raises:
        OSError, RuntimeError, ValueError: a path cannot be followed.
    """
    own = root.resolve()
    named = (Path(p) for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p)
    return (own, *_blobs(own), *(path.resolve() for path in (*named, *more)))


def _blobs(own: Path) -> list[Path]:
    found = (p.parent / "blobs" for p in own.parents if p.name == "snapshots")
    return [blobs for blobs in found if blobs.is_dir() and not blobs.is_symlink()]
