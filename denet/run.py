"""The directory of a training run, which is whole at every moment.

    recipe.json         what the run was begun with: recipe, data, number of processes
    last.safetensors    the network after the last finished epoch
    best.safetensors    the network after the best one
    state.pt            what else is needed to go on: objective, optimizer, history
    log.csv             a row for each epoch

The last four belong together, so a save replaces them together. It writes them into the folder
`.saving`, renames that to `.saved`, and moves the files from there to their places. Up to the
renaming the run is what it was before the save; from then on `Run.begin` finishes the moving,
whatever stopped it. So no two files need to hold the weights for the sake of consistency:
`state.pt` holds none of the network's, and `best.safetensors` is written only when there is a
better epoch, and then as another name of `last.safetensors`.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import UNSET
from safetensors.torch import load_file
from torch import Tensor

from denet.checkpoint import save_checkpoint
from denet.data.records import Record
from denet.errors import DenetError
from denet.files import file_digest, sync_file, sync_folder, written_whole
from denet.graph import Graph
from denet.model import DENet
from denet.outputs import SIZE, check_room, writing
from denet.provenance import Provenance
from denet.recipe import Recipe
from denet.temporary import is_temporary, settle, settle_within

RECIPE, STATE, LOG = "recipe.json", "state.pt", "log.csv"
LAST, BEST = "last.safetensors", "best.safetensors"
SAVING, SAVED = ".saving", ".saved"
SAVES = (LAST, BEST, STATE, LOG)
"""What a save replaces."""


class TrainingError(DenetError):
    """A run that cannot be started, continued or finished; the message says what to do.

    Where several processes train together, it is the same in all of them.
    """


@dataclass(frozen=True)
class EpochReport:
    """One row of the log.

    Attributes:
        epoch: from 1.
        lr: at the end of the epoch.
        images_per_second: of every modality.
        waiting: share of the time spent waiting for data.
        map: mean of mAP over the states on the held-out identities; NaN where not measured.
    """

    epoch: int
    total: float
    identity: float
    triplet: float
    branch: float
    plain: float
    states: float
    recovery: float
    similarity: float
    adversary: float
    lr: float
    images_per_second: float
    waiting: float
    map: float

    def describe(self) -> str:
        """The row in one line for a person."""
        held_out = "" if math.isnan(self.map) else f", mAP {self.map:.1f} on held-out identities"
        terms = ", ".join(
            f"{name} {value:.3f}"
            for name in (
                "identity",
                "triplet",
                "branch",
                "plain",
                "states",
                "recovery",
                "similarity",
            )
            if (value := getattr(self, name))
        )
        return (
            f"epoch {self.epoch}: loss {self.total:.3f} ({terms}), "
            f"{self.images_per_second:.0f} images/s, {self.waiting:.1%} waiting for data{held_out}"
        )


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run was begun with, and must be resumed with: the content of `recipe.json`.

    Attributes:
        recipe: everything that can be chosen.
        data: `data_digest` of the training records.
        processes: how many train together; each has batches of its own, so it matters.
    """

    recipe: Recipe
    data: str
    processes: int = 1


@dataclass(frozen=True)
class Snapshot:
    """A run after some epochs.

    Attributes:
        weights: of the network.
        rest: the state dicts of whatever else the loop needs to go on.
        history: of the finished epochs.
    """

    weights: dict[str, Tensor]
    rest: Mapping[str, Any]
    history: list[EpochReport]


def data_digest(records: Sequence[Record], graph: Graph) -> str:
    """The sha256 of names, identities, cameras, and of what samples lack of the modalities of
    `graph`: two sets with the same are taken as equal."""
    lines = (
        " ".join((f"{r.name} {r.identity} {r.camera}", *(f"-{m}" for m in r.missing(graph)))) + "\n"
        for r in records
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class Run:
    """The directory of a run. Of several processes only the first may `begin` and `save`.

    Args:
        path: the directory; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def origin(self) -> Origin | None:
        """What the run was begun with; None where none was begun.

        Raises:
            TrainingError: it cannot be read.
        """
        path = self.path / RECIPE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Origin)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TrainingError(f"{path}: not the recipe of a run: {error}") from None

    def check(self, origin: Origin, *, resume: bool) -> None:
        """See that a run can be begun here, or with `resume` continued, as `origin` says.

        With `resume`, too, a run may be begun: it can have been stopped before its recipe was
        written. Nothing is changed.

        Raises:
            TrainingError: there is something in the way, or a run of another origin.
        """
        found = self.origin()
        if found is None:
            self._check_free()
        else:
            self._check_origin(found, origin, resume=resume)
        check_room(self.path, TrainingError)

    def begin(self, origin: Origin, size: int = SIZE) -> None:
        """Make the directory, or finish what an interruption left half done in it.

        Args:
            origin: what the run is begun with.
            size: bytes that an epoch writes at least.

        Raises:
            TrainingError: it cannot be written.
        """
        check_room(self.path, TrainingError, size)
        with writing(self.path, TrainingError):
            self.path.mkdir(parents=True, exist_ok=True)
            if (self.path / SAVED).is_dir():
                self._move_in()
            settle(self.path / RECIPE)
            if self.origin() is not None:
                self._remove_torn()
            if not (self.path / RECIPE).exists():
                encoded = msgspec.json.encode(origin, order="deterministic")
                with written_whole(self.path / RECIPE) as temporary:
                    temporary.write_bytes(msgspec.json.format(encoded, indent=2))

    def save(
        self,
        model: DENet,
        rest: Mapping[str, Any],
        history: Sequence[EpochReport],
        provenance: Provenance | None = None,
    ) -> None:
        """Replace checkpoints, state and log by those after the last epoch of `history`.

        Args:
            model: the network.
            rest: tensors and plain values in dicts and lists.
            history: of all finished epochs.
            provenance: what the checkpoints tell of the training, but for the epochs.

        Raises:
            TrainingError: they cannot be written; the run is what it was, or `begin` finishes it.
        """
        folder = self.path / SAVING
        try:
            folder.mkdir()
            if provenance is not None:
                provenance = msgspec.structs.replace(provenance, epochs=len(history))
            save_checkpoint(model, folder / LAST, provenance=provenance)
            if _is_best(history):
                _link(folder / LAST, folder / BEST)
            rows = [asdict(report) for report in history]
            with (folder / STATE).open("wb") as stream:
                torch.save(
                    {"rest": rest, "history": rows, LAST: file_digest(folder / LAST)}, stream
                )
            with (folder / LOG).open("w", newline="") as text:
                table = csv.DictWriter(text, list(EpochReport.__dataclass_fields__))
                table.writeheader()
                table.writerows(rows)
            # A machine that loses its power must not keep the name and lose the content.
            for path in self._saves(folder):
                sync_file(path)
            sync_folder(folder)
            folder.rename(self.path / SAVED)
            sync_folder(self.path)
            self._move_in()
        except (OSError, RuntimeError, DenetError) as error:  # torch.save: RuntimeError
            raise TrainingError(f"{self.path}: cannot be written: {error}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def saved(self) -> bool:
        """Whether an epoch was saved, from which `restore` goes on."""
        return (self.path / STATE).exists() or (self.path / SAVED / STATE).exists()

    def restore(self) -> Snapshot | None:
        """The run after its last finished epoch; None where there is none.

        Raises:
            TrainingError: its files are damaged, or do not belong together.
        """
        path = self.path / STATE
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            rest, digest = state["rest"], state[LAST]
            history = [EpochReport(**row) for row in state["history"]]
        except Exception as error:  # torch raises many kinds for a damaged file
            raise TrainingError(f"{path}: cannot be resumed from: {error}") from None
        path = self.path / LAST
        try:
            if file_digest(path) != digest:
                raise TrainingError(f"{path}: is not the checkpoint that {STATE} belongs to")
            return Snapshot(load_file(path), rest, history)
        except OSError as error:
            raise TrainingError(f"{path}: cannot be resumed from: {error.strerror}") from None

    def _check_free(self) -> None:
        with writing(self.path, TrainingError):
            if self.path.exists() and not self.path.is_dir():
                raise TrainingError(f"{self.path}: is a file: choose another name")
            # A process that was killed may not have come to its recipe.
            if self.path.exists() and not all(
                is_temporary(entry.name, RECIPE) for entry in self.path.iterdir()
            ):
                raise TrainingError(f"{self.path}: is not empty, and no run: choose another name")

    def _check_origin(self, found: Origin, origin: Origin, *, resume: bool) -> None:
        if not resume:
            raise TrainingError(
                f"{self.path}: is not empty: choose another name, or continue with --resume"
            )
        if difference := _difference(found.recipe, origin.recipe):
            raise TrainingError(
                f"{self.path / RECIPE}: {difference}: a resumed run keeps its own recipe, so "
                "resume without a preset or configuration, or begin another run"
            )
        if found.data != origin.data:
            raise TrainingError(
                f"{self.path}: was begun with other training data: resume with the same samples, "
                "or begin another run"
            )
        if found.processes != origin.processes:
            raise TrainingError(
                f"{self.path}: was begun with {found.processes} processes, not "
                f"{origin.processes}: resume with as many, or begin another run"
            )

    def _move_in(self) -> None:
        saved = self.path / SAVED
        for path in self._saves(saved):
            path.replace(self.path / path.name)
        settle_within(saved)
        saved.rmdir()

    @staticmethod
    def _saves(folder: Path) -> list[Path]:
        return [folder / name for name in SAVES if (folder / name).exists()]

    def _remove_torn(self) -> None:
        """Remove what was being saved when a process was killed, if it is that and nothing else."""
        folder = self.path / SAVING
        if folder.is_symlink() or not folder.is_dir():
            return
        for path in folder.iterdir():
            if path.name not in SAVES and not is_temporary(path.name, LAST):
                raise TrainingError(f"{path}: is not of the run: move it elsewhere")
        shutil.rmtree(folder)


def _is_best(history: Sequence[EpochReport]) -> bool:
    """Whether the last epoch is the best; until one was measured, the last always is."""
    measured = [report.map for report in history if not math.isnan(report.map)]
    return not measured or (history[-1].map == measured[-1] > max(measured[:-1], default=-1.0))


def _difference(there: Recipe, here: Recipe) -> str:
    """The first value in which two recipes differ, in words; nothing where there is none."""
    for table in there.__struct_fields__:
        for key in getattr(there, table).__struct_fields__:
            a, b = (getattr(getattr(recipe, table), key) for recipe in (there, here))
            if a != b:
                return f"{table}.{key} is {_told(a)} there and {_told(b)} here"
    return ""


def _told(value: object) -> object:
    return "the default" if value is UNSET else value


def _link(source: Path, target: Path) -> None:
    """A second name for a file that is never changed, or a copy where there are no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
