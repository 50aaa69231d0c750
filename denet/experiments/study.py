"""Runs an experiment: trains each variant with each seed, once, and measures it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from denet.data.records import DataSet, open_data
from denet.experiments.catalog import Experiment, ExperimentError
from denet.experiments.figure import RATES, Facts
from denet.experiments.gaps import GapVariant
from denet.experiments.rivals import RivalVariant, rival_facts
from denet.experiments.variants import Changes, TrainingVariant
from denet.figures.files import FIGURE
from denet.files import written_whole
from denet.marks import TABLE, OutputKind, is_table
from denet.outputs import check_kept, check_room, write_output, writing
from denet.reading import read_file, reading
from denet.recipe import Recipe
from denet.run import BEST, Run, data_digest

RESULT = "result.json"
"""In the directory of a run: what was measured of it."""

BRANCHES = "branches"
"""Beside the directories of runs: branches of which several runs have the same."""

TABLE_FILE = OutputKind(".md", "a table is", "a table of denet", is_table)


@dataclass(frozen=True)
class Job:
    """One training and its measurement.

    Attributes:
        variant: which row it is of.
        seed: which of its seeds.
        recipe: the whole of it.
        run: the directory.
    """

    variant: TrainingVariant
    seed: int
    recipe: Recipe
    run: Path

    @property
    def result(self) -> Path:
        return self.run / RESULT

    def training(self, data: DataSet) -> DataSet:
        """What of `data` it is trained and measured on."""
        if isinstance(self.variant, GapVariant):
            return self.variant.training(data, self.recipe.model.graph, self.seed)
        return data

    def digest(self, data: DataSet) -> str:
        """That of the training records, as the run has it."""
        return data_digest(self.training(data).train, self.recipe.model.graph)

    def for_process(self) -> Job:
        """As it is sent to another process: the recipe has the changes of the variant by now, and
        those that are functions cannot be sent."""
        return replace(self, variant=replace(self.variant, changes={}))

    @property
    def branches(self) -> Path | None:
        """Where it shares branches with other runs; those of a set with gaps see other images."""
        if isinstance(self.variant, GapVariant):
            return None
        return self.run.parent.parent / BRANCHES

    @property
    def checkpoint(self) -> Path:
        """What it trained, once it is finished."""
        return self.run / BEST


def varied_recipe(recipe: Recipe, changes: Changes, seed: int) -> Recipe:
    """`recipe` with the values of a variant, and a seed."""
    document: dict[str, Any] = msgspec.to_builtins(recipe)
    for table, values in changes.items():
        document[table] |= {
            name: value(recipe) if callable(value) else value for name, value in values.items()
        }
    document["train"]["seed"] = seed
    return msgspec.convert(document, Recipe)


def jobs_of(experiments: Sequence[Experiment], recipe: Recipe, seeds: int, out: Path) -> list[Job]:
    """The trainings that the experiments need, each once, in their order seed by seed."""
    jobs = {
        (variant.key, seed): Job(
            variant,
            seed,
            varied_recipe(recipe, variant.changes, seed),
            out / "runs" / f"{variant.key}-seed{seed}",
        )
        for seed in range(seeds)
        for experiment in experiments
        for variant in experiment.variants
    }
    return list(jobs.values())


def check_out(out: Path, chosen: Mapping[str, Experiment]) -> None:
    """See that runs, tables and pictures can be written to `out`, before the work for them is done.

    Args:
        out: a folder, which is made if need be.
        chosen: experiments by name.

    Raises:
        ExperimentError: they cannot, or another file is in the place of a table or picture.
    """
    with writing(out, ExperimentError):
        for name, experiment in chosen.items():
            if experiment.blocks:
                check_kept(_table_path(out, name), TABLE_FILE, ExperimentError, replace=True)
            if experiment.picture:
                check_kept(_picture_path(out, name), FIGURE, ExperimentError, replace=True)
    check_room(out, ExperimentError)


def write_table(out: Path, name: str, markdown: str) -> Path:
    """Write the table of an experiment, whole; its path.

    Raises:
        ExperimentError: it cannot be written, or another file is in its place.
    """
    path = _table_path(out, name)
    write_output(path, TABLE + markdown.encode(), TABLE_FILE, ExperimentError)
    return path


def write_picture(out: Path, name: str, png: bytes) -> Path:
    """Write the picture of an experiment, whole; its path.

    Raises:
        ExperimentError: it cannot be written, or another file is in its place.
    """
    path = _picture_path(out, name)
    write_output(path, png, FIGURE, ExperimentError)
    return path


def _table_path(out: Path, name: str) -> Path:
    return out / f"{name}.md"


def _picture_path(out: Path, name: str) -> Path:
    return out / f"{name}.png"


def run_jobs(
    jobs: Sequence[Job], data: DataSet, parallel: int, notify: Callable[[Job], None]
) -> None:
    """Train and measure what is not finished; an interrupted job resumes.

    Args:
        jobs: what has to be there.
        data: the data set.
        parallel: jobs at once, each with its share of the processor cores.
        notify: told of each finished job.

    Raises:
        ExperimentError: a run is of another recipe or other data, or a process was killed.
        DenetError: as training and evaluation. The other trainings end where they are.
    """
    pending: list[Job] = []
    for job in jobs:
        if _finished(job, data):
            notify(job)
        else:
            pending.append(job)
    if not pending:
        return
    threads = max(1, (os.cpu_count() or 1) // parallel)
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    try:
        with ProcessPoolExecutor(parallel, context, _die_of_interrupts) as pool:
            working = {
                pool.submit(run_job, job.for_process(), data.root, threads): job for job in pending
            }
            try:
                for future in as_completed(working):
                    future.result()
                    notify(working[future])
            except BaseException:
                # Nobody waits for hours to be told, and the other runs resume.
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise ExperimentError(
            "a training process was killed (out of memory?): start again to continue where the "
            "runs are, or with fewer --jobs"
        ) from None


def _die_of_interrupts() -> None:
    # Ctrl-C reaches every process. A run resumes wherever it dies, so no farewell is needed.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_with_parent(_: object) -> None:
    # Nobody waits for the result of a process whose parent is gone, and the run resumes.
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise SystemExit(1)


def run_job(job: Job, root: Path, threads: int) -> None:
    """Train one job to its end, measure it, and write its result whole."""
    from denet.examine import examine
    from denet.subject import checkpoint_subject
    from denet.testset import open_split
    from denet.train import train

    torch.set_num_threads(threads)
    data = job.training(open_data(root))
    split = open_split(data).seen_by(job.recipe.model.graph)  # before an hour of training
    job.run.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(job.variant, RivalVariant):
        facts = rival_facts(job.variant.rival, job.recipe, data, job.run, _end_with_parent)
    else:
        best = train(
            job.recipe,
            data,
            job.run,
            resume=True,
            branches=job.branches,
            on_batch=_end_with_parent,
        )
        subject = checkpoint_subject(best)
        recovery = subject.network("an experiment").recovers
        facts = examine(subject, split, matrix=True, rates=RATES, recovery=recovery).facts()
    result = {
        "recipe": msgspec.to_builtins(job.recipe),
        "data": data.name,
        "queries": len(split.query),
        "facts": facts,
    }
    with writing(job.result, ExperimentError), written_whole(job.result) as temporary:
        temporary.write_text(json.dumps(result, indent=1))


def results(jobs: Sequence[Job], variant: TrainingVariant) -> Iterator[Facts]:
    """The facts of a variant's runs, seed by seed."""
    for job in jobs:
        if job.variant.key == variant.key:
            yield _read(job)["facts"]


def _finished(job: Job, data: DataSet) -> bool:
    if not job.result.is_file():
        return False
    if _read(job)["recipe"] != json.loads(msgspec.json.encode(job.recipe)):
        raise ExperimentError(
            f"{job.run}: was run with another recipe: choose another --out, or remove it"
        )
    origin = Run(job.run).origin()
    if origin is not None and origin.data != job.digest(data):
        raise ExperimentError(
            f"{job.run}: was run on other data: choose another --out, or remove it"
        )
    return True


def _read(job: Job) -> Mapping[str, Any]:
    content = read_file(job.result, ExperimentError)
    with reading(job.result, ExperimentError, "is no result of a run: remove it"):
        read = msgspec.json.decode(content)
        return {"recipe": read["recipe"], "facts": read["facts"]}
