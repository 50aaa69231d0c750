"""Writes a proposed data set: links to the images of its source, or copies of them."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from denet.data.importing.proposal import Proposal
from denet.data.sample import DataError
from denet.files import replaced_folder, sync_file
from denet.outputs import check_parent, check_place, writing
from denet.temporary import settle

SOURCES = "sources.csv"
"""The table in a set that says where each image is from, and whom it shows."""


def check_new(out: Path) -> None:
    """See that a new folder can be made at `out`.

    Raises:
        DataError: something is there, or it cannot be written.
    """
    with writing(out, DataError):
        _check_nothing(out)
        check_parent(out, DataError)
    check_place(out, DataError)


def write_proposal(
    proposal: Proposal, out: Path, *, copy: bool, notify: Callable[[int, int], None]
) -> None:
    """Write a set to a new folder `out`, in RGBNT201's layout, whole or not at all.

    Args:
        proposal: what to write.
        out: the folder to make.
        copy: the images, instead of links to where they are.
        notify: told after every sample how many are done, and of how many.

    Raises:
        DataError: `out` exists or cannot be written, or an image cannot be copied.
    """
    check_new(out)
    with writing(out, DataError), replaced_folder(out, lambda: _check_nothing(out)) as root:
        for sample in proposal.samples:
            for modality in sample.images:
                (root / sample.place(modality)).parent.mkdir(parents=True, exist_ok=True)
        with (root / SOURCES).open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(("file", "source", "identity", "camera"))
            for done, sample in enumerate(proposal.samples, start=1):
                for modality, image in sample.images.items():
                    place, path = sample.place(modality), image.path.absolute()
                    if copy:
                        shutil.copyfile(path, root / place)
                        sync_file(root / place)
                    else:
                        (root / place).symlink_to(path)
                    row = (place.as_posix(), str(path), image.identity, image.camera or "")
                    table.writerow(row)
                notify(done, len(proposal.samples))
        sync_file(root / SOURCES)


def _check_nothing(out: Path) -> None:
    settle(out)
    if os.path.lexists(out):
        raise DataError(f"{out}: exists already: choose another name, or remove it")
