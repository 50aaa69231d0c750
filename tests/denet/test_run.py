"""The directory of a run: a save that is stopped anywhere was done, or was not."""

from __future__ import annotations

import csv
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from denet.config import ModelConfig
from denet.recipe import Recipe, TrainConfig
from denet.run import (
    BEST,
    LAST,
    LOG,
    RECIPE,
    STATE,
    EpochReport,
    Origin,
    Run,
    TrainingError,
)

FILES = {RECIPE, LAST, BEST, STATE, LOG}

ORIGIN = Origin(recipe=Recipe(), data="d")


def network(epoch: int) -> Any:
    return SimpleNamespace(
        config=ModelConfig(), state_dict=lambda: {"epoch": torch.tensor(float(epoch))}
    )


def history(*maps: float) -> list[EpochReport]:
    zeros = dict.fromkeys(EpochReport.__dataclass_fields__, 0.0)
    return [EpochReport(**zeros | {"epoch": i + 1, "map": m}) for i, m in enumerate(maps)]


def epoch_in(path: Path) -> int:
    return int(load_file(path)["epoch"])


def save(run: Run, *maps: float) -> None:
    run.save(network(len(maps)), {"epoch": torch.tensor(float(len(maps)))}, history(*maps))


def consistent(path: Path, bests: list[int]) -> int:
    """Resume; how many epochs are finished, after which every file says the same.

    `bests` is the best epoch after 0, 1, 2, ... of them.
    """
    run = Run(path)
    run.check(ORIGIN, resume=True)
    run.begin(ORIGIN)
    snapshot = run.restore()
    if snapshot is None:
        assert {p.name for p in path.iterdir()} == {RECIPE}
        return 0
    done = len(snapshot.history)
    assert {p.name for p in path.iterdir()} == FILES
    assert done == int(snapshot.weights["epoch"]) == int(snapshot.rest["epoch"])
    assert epoch_in(path / LAST) == done
    assert epoch_in(path / BEST) == bests[done]
    with (path / LOG).open(newline="") as text:
        assert [int(row["epoch"]) for row in csv.DictReader(text)] == list(range(1, done + 1))
    return done


CALLS = ("rename", "replace", "link", "fsync", "mkdir", "rmdir", "unlink")
"""The functions of `os` by which a save changes what is on the disk."""


class Killed(BaseException):
    """Nothing catches this, and from then on nothing can be done."""


def break_at(number: int, monkeypatch: pytest.MonkeyPatch, *, kill: bool) -> Callable[[], bool]:
    """Let call `number` of CALLS fail, once, or with `kill` every one from there on.

    Returns:
        Whether it came to that.
    """
    count = [0]

    def breaking(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if kill and count[0] >= number:
                raise Killed
            if count[0] == number:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call

    # pathlib of Python 3.10 has taken the functions of `os` over when it was imported.
    taken = getattr(pathlib, "_NormalAccessor", None)
    for name in CALLS:
        if taken is not None and hasattr(taken, name):
            monkeypatch.setattr(taken, name, staticmethod(breaking(getattr(os, name))))
        monkeypatch.setattr(os, name, breaking(getattr(os, name)))
    return lambda: count[0] >= number


@contextmanager
def refused(came: Callable[[], bool]) -> Iterator[None]:
    """An error that says so, if it came to one; a few calls may fail without consequence."""
    try:
        yield
    except TrainingError as error:
        if "No space left" not in str(error):
            raise
        assert came()


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("maps", [(50.0, 40.0), (50.0, 60.0), (math.nan, math.nan)])
def test_a_save_that_is_stopped_anywhere_was_done_or_was_not(
    maps: tuple[float, float], kill: bool, tmp_path: Path
) -> None:
    bests = [0, 1, 1 if maps[0] > maps[1] else 2]
    found = set()
    for number in range(1, 100):
        path = tmp_path / str(number)
        run = Run(path)
        run.begin(ORIGIN)
        save(run, maps[0])
        with pytest.MonkeyPatch.context() as monkeypatch:
            came = break_at(number, monkeypatch, kill=kill)
            with suppress(Killed) if kill else refused(came):
                save(run, *maps)
        done = consistent(path, bests)
        found.add(done)
        # It goes on from there, whatever it was.
        for epoch in range(done, 2):
            save(run, *maps[: epoch + 1])
        assert consistent(path, bests) == 2
        if not came():
            break
    assert number > 12
    assert found == {1, 2}


def test_a_beginning_that_is_killed_anywhere_can_be_begun(tmp_path: Path) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number) / "run"
        path.parent.mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            came = break_at(number, monkeypatch, kill=True)
            with suppress(Killed):
                Run(path).begin(ORIGIN)
        assert consistent(path, []) == 0
        if not came():
            break
    assert number > 2


def test_the_best_stays_where_a_later_epoch_only_equals_it(tmp_path: Path) -> None:
    maps = (math.nan, 0.0, 50.0, math.nan, 50.0, 49.0, 51.0)
    bests = (1, 2, 3, 3, 3, 3, 7)
    run = Run(tmp_path / "run")
    run.begin(ORIGIN)
    written = []
    for epoch, best in enumerate(bests, 1):
        save(run, *maps[:epoch])
        assert epoch_in(run.path / BEST) == best
        written.append((run.path / BEST).stat().st_mtime_ns)
    assert written[2] == written[3] == written[4] == written[5]


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    run = Run(tmp_path / "run")
    run.begin(ORIGIN)
    save(run, 50.0)
    assert consistent(run.path, [0, 1]) == 1


def test_a_full_disk_is_one_line_and_the_run_stays(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.begin(ORIGIN)
    save(run, 50.0)
    script = (
        "import resource, sys, tests.denet.test_run as t\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "try: t.save(t.Run(t.Path(sys.argv[1])), 50.0, 60.0)\n"
        "except t.TrainingError as error: print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, run.path], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r".*run: cannot be written: .*File too large.*\n", found.stdout)
    assert consistent(run.path, [0, 1]) == 1


def test_what_is_in_the_way_stays_untouched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(TrainingError, match="is a file"):
            Run(tmp_path / "file").check(ORIGIN, resume=resume)
        with pytest.raises(TrainingError, match="not empty, and no run"):
            Run(tmp_path / "folder").check(ORIGIN, resume=resume)


def test_a_run_is_resumed_only_as_it_was_begun(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.begin(ORIGIN)
    other = Recipe(train=TrainConfig(lr=0.5))
    for origin, words in (
        (Origin(recipe=other, data="d"), r"train\.lr is 0\.01 there and 0\.5 here"),
        (Origin(recipe=Recipe(), data="e"), "other training data"),
        (Origin(recipe=Recipe(), data="d", processes=2), "with 1 processes, not 2"),
    ):
        with pytest.raises(TrainingError, match=words):
            run.check(origin, resume=True)
    with pytest.raises(TrainingError, match="--resume"):
        run.check(ORIGIN, resume=False)
    (run.path / RECIPE).write_text('{"recipe": {')
    with pytest.raises(TrainingError, match=r"recipe\.json: not the recipe of a run"):
        run.check(ORIGIN, resume=True)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.begin(ORIGIN)
    save(run, 50.0)
    first = shutil.copy(run.path / LAST, tmp_path / "first")
    save(run, 50.0, 60.0)
    shutil.copy(first, run.path / LAST)
    with pytest.raises(TrainingError, match=r"last\.safetensors: is not the checkpoint"):
        run.restore()
    (run.path / LAST).unlink()
    with pytest.raises(TrainingError, match=r"last\.safetensors: cannot be resumed from"):
        run.restore()
    (run.path / STATE).write_bytes(b"torn")
    with pytest.raises(TrainingError, match=r"state\.pt: cannot be resumed from"):
        run.restore()


@pytest.mark.parametrize("resume", [False, True])
def test_a_place_that_cannot_be_written_is_found_before_the_training(
    tmp_path: Path, resume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "a" / "run")
    if resume:
        run.begin(ORIGIN)
    run.check(ORIGIN, resume=resume)
    with pytest.raises(TrainingError, match="there is room for"):
        run.begin(ORIGIN, size=1 << 60)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(TrainingError, match="cannot be written: Read-only file system"):
        run.check(ORIGIN, resume=resume)


def test_what_is_not_of_the_run_is_not_removed(tmp_path: Path) -> None:
    saving = tmp_path / ".saving"
    saving.mkdir()
    (saving / "notes.txt").write_text("precious")
    run = Run(tmp_path)
    with pytest.raises(TrainingError, match="is not empty, and no run"):
        run.check(ORIGIN, resume=True)
    saving.rename(tmp_path.with_name("aside"))
    run.begin(ORIGIN)
    tmp_path.with_name("aside").rename(saving)
    with pytest.raises(TrainingError, match=r"notes\.txt: is not of the run"):
        run.begin(ORIGIN)
    assert (saving / "notes.txt").read_text() == "precious"
