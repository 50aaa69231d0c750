"""Results of runs that nobody ran."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from denet.experiments.catalog import Experiment
from denet.experiments.study import Job, jobs_of
from denet.graph import RGB_NIR_TIR
from denet.recipe import PRESETS

STATES = RGB_NIR_TIR.states
SMALL = PRESETS["small"]
WRITTEN_RATES = [0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
"""The missing rates that are measured, written out."""
PAIRS = [(q, g) for q in ("rgb", "nir", "tir") for g in ("rgb", "nir", "tir") if q != g]
"""Queries in one modality, gallery in another."""


def fabricated() -> dict[str, dict[str, dict[str, float]]]:
    """Facts in which every number is another one."""
    numbers = iter(range(1, 1000))

    def cell() -> dict[str, float]:
        return {metric: next(numbers) / 10 for metric in ("mAP", "R1", "R5", "R10")}

    names = [state.name for state in STATES]
    return {
        "states": {name: cell() for name in names},
        "matrix": {f"{q} / {g}": cell() for q in names for g in names},
        "missing_rate": {str(rate): cell() for rate in WRITTEN_RATES},
    }


def with_results(each: Experiment, out: Path, facts: object, seeds: int = 1) -> list[Job]:
    """Jobs that seem finished, all with the same facts."""
    jobs = jobs_of([each], SMALL, seeds, out)
    for job in jobs:
        job.run.mkdir(parents=True)
        content = {"recipe": msgspec.to_builtins(job.recipe), "facts": facts}
        job.result.write_text(json.dumps(content))
    return jobs
