"""What belongs to a bundle: what may be removed when it is replaced, and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from denet.errors import DenetError
from denet.outputs import SIZE, check_free, check_parent, check_place, writing
from denet.reading import read_file
from denet.temporary import is_temporary, settle
from runtime.bundle.manifest import BUILT, LIMIT, MANIFEST, BundleError, Manifest, parse_manifest
from runtime.bundle.signature import SIGNATURE

_BUILT = re.compile(
    rf"{BUILT}/(engines\.json(\.sig)?|[^/]+/(timing\.cache|\.lock|[^/]+/[^/]+\.(engine|json)))"
)

NAMED = 3
"""Files that a message names."""


def check_out(out: Path, error: type[DenetError], *, replace: bool, size: int = SIZE) -> None:
    """See that a bundle may and can be written to `out`, before the work for it is done.

    Args:
        out: the directory to make.
        error: to raise.
        replace: a bundle that is there.
        size: bytes that it takes at least.

    Raises:
        error: it may not or cannot; says why.
    """
    settle(out)
    with writing(out, error):
        check_parent(out, error)
    check_replaced(out, error, replace=replace)
    check_place(out, error, size)


def check_replaced(out: Path, error: type[DenetError], *, replace: bool) -> None:
    """See that nothing is lost at `out`: nothing is there, or a bundle to replace and all of it.

    Raises:
        error: something else is there, files in the bundle are not its own, or `replace` is false.
    """
    with writing(out, error):
        if not out.exists():
            return
        if not (out / MANIFEST).is_file():
            raise error(f"{out}: exists and is not a bundle: choose another name")
        check_free(out, error, replace=replace)
        try:
            manifest = parse_manifest(out / MANIFEST, read_file(out / MANIFEST, BundleError, LIMIT))
        except BundleError as reason:
            raise error(
                f"{out}: is not replaced, for it is no bundle that this version knows: choose "
                f"another name, or remove it ({reason})"
            ) from None
        if foreign := list(foreign_files(out, manifest)):
            more = f" and {len(foreign) - NAMED} more" if len(foreign) > NAMED else ""
            raise error(
                f"{out}: is not replaced, for it holds what is not the bundle's: "
                f"{', '.join(map(str, foreign[:NAMED]))}{more}: move that elsewhere"
            )


def foreign_files(root: Path, manifest: Manifest) -> Iterator[PurePosixPath]:
    """What is in the folder of a bundle, and neither its manifest lists it nor denet put it there;
    relative to `root`.

    Raises:
        OSError: nobody may look.
    """
    listed = {
        PurePosixPath(MANIFEST),
        PurePosixPath(SIGNATURE),
        *(PurePosixPath(file.path) for file in manifest.files()),
    }
    folders = {parent for path in listed for parent in path.parents}

    def refuse(error: OSError) -> None:
        raise error

    for folder, within, files in os.walk(root, onerror=refuse):
        at = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in list(within):
            path = at / name
            if at.parts[:1] == (BUILT,) and is_temporary(name):  # of a build that was killed
                within.remove(name)
            elif path not in folders and not (path.parts[0] == BUILT and len(path.parts) <= 3):
                within.remove(name)
                yield path
        for name in files:
            if at / name not in listed and not _BUILT.fullmatch((at / name).as_posix()):
                yield at / name
