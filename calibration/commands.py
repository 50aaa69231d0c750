"""`denet calibrate`, `denet project` and `denet gallery calibrate`: what data adds to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import print_json, print_whole, progress, reported, say
from denet.options import (
    BatchOpt,
    BundleArg,
    JsonOpt,
    RangesOpt,
    RuntimeOptions,
    ThreadsOpt,
    grouped,
)
from denet.progress import counted
from runtime.commands import say_unsigned

if TYPE_CHECKING:
    from calibration.half import HalfOutcome
    from calibration.outcome import Outcome
    from calibration.project import Projected, ProjectionRequest
    from calibration.request import CalibrationRequest

BudgetOpt = Annotated[
    float | None,
    typer.Option(
        help="What each state may lose: mAP points (0.5); without labels, its least mean cosine "
        "to FP32 (0.99)."
    ),
]
TargetOpt = Annotated[
    str | None,
    typer.Option(
        help="What INT8 is made for, as vnni,trt: [b]vnni[/b] or [b]avx2[/b] CPUs, [b]trt[/b] "
        "(TensorRT). Default: this CPU."
    ),
]
SamplesSeedOpt = Annotated[int, typer.Option(min=0, help="Seed of the choice of samples.")]


@reported(extra="calibrate")
def calibrate(
    bundle: BundleArg,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="A data set, whose training split is used, or a folder with RGB/, NI/, TI/. "
            "FP16 can be had without.",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="[b]auto[/b]: per engine, the fastest that keeps the budget; or all engines in "
            "[b]int8[/b] or [b]fp16[/b]."
        ),
    ] = "auto",
    target: TargetOpt = None,
    budget: BudgetOpt = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples to calibrate with.")] = 256,
    method: Annotated[
        str,
        typer.Option(
            help="Method of the ranges: [b]minmax[/b], [b]percentile[/b], [b]entropy[/b]."
        ),
    ] = "minmax",
    judge: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="A data set whose test split judges; default: a third of DATA's identities.",
        ),
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option("--table", help="Ranges of this model measured before: calibration.json."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a page with tables and plots, too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page at --report.")] = False,
    seed: SamplesSeedOpt = 0,
    batch: BatchOpt = 8,
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Add FP16 and INT8 engines, chosen within a budget."""
    from calibration.errors import CalibrationError
    from calibration.facts import fp16_facts, outcome_facts
    from calibration.page import check_report, write_report
    from calibration.request import calibration_request
    from runtime.bundle.signature import has_signature

    if data is None:
        if precision != "fp16" or report is not None or ranges is not None or judge is not None:
            raise CalibrationError(
                "no DATA to calibrate with: name a data set or a folder of images; without, "
                "there is `--precision fp16` alone, and no --report, --table or --judge"
            )
        was_signed = has_signature(bundle)
        made = run_fp16(bundle, seed=seed, threads=threads)
        if as_json:
            print_json(fp16_facts(made))
            return
        say_fp16(bundle, made)
        say(f"{bundle}: runs in fp16 from now on")
        say_unsigned(bundle, was_signed=was_signed)
        return
    asked = calibration_request(
        data,
        precision,
        target,
        budget=budget,
        judge=judge,
        table=ranges,
        samples=samples,
        method=method,
        seed=seed,
        batch=batch,
        threads=threads,
    )
    if report is not None:
        check_report(report, replace=force)
    was_signed = has_signature(bundle)
    outcome = run_calibration(bundle, asked)
    if report is not None:
        write_report(outcome, report, replace=force)
    if as_json:
        print_json(outcome_facts(outcome))
        return
    print_outcome(outcome)
    default = outcome.bundle.manifest.default_precision
    say(f"{bundle}: runs in {default} from now on")
    say_unsigned(bundle, was_signed=was_signed)
    if report is not None:
        say(f"{report}: the report")


def requested(
    data: Path | None,
    precision: str,
    target: str | None,
    *,
    dim: int | None,
    budget: float | None,
    threads: int | None,
) -> tuple[ProjectionRequest | None, CalibrationRequest | None]:
    """What an export asks of a projection and of a calibration, seen to be possible; None where it
    wants none. Data without a dimension to project to are there to calibrate with; FP16 without
    data is no calibration."""
    from calibration.errors import CalibrationError
    from calibration.request import calibration_request

    calibration = projection = None
    without = precision == "fp16" and data is None  # the one that needs none
    if not without and (precision != "fp32" or (data is not None and dim is None)):
        if data is None:
            raise CalibrationError(
                f"--precision {precision} is calibrated: name the data by --calibration-data"
            )
        calibration = calibration_request(data, precision, target, budget=budget, threads=threads)
    if dim is not None:
        from calibration.project import projection_request

        projection = projection_request(data, dim, budget, threads)
    return projection, calibration


def run_fp16(
    bundle: Path, *, make_default: bool = True, seed: int = 0, threads: int | None = None
) -> HalfOutcome:
    """Add FP16 without data, with a progress bar."""
    from calibration.half import add_fp16
    from runtime.bundle.bundle import Bundle

    count = len(Bundle.open(bundle).manifest.engines)
    with progress("converting", count) as notify:
        told = counted(notify, "converting", count)
        return add_fp16(bundle, make_default=make_default, seed=seed, threads=threads, notify=told)


def say_fp16(bundle: Path, made: HalfOutcome) -> None:
    """What was seen of FP16 without data."""
    from calibration.fp16 import LARGEST

    state, least = min(made.cosines.items(), key=lambda each: each[1])
    say(
        f"{bundle}: FP16 without data: on {made.samples} golden and drawn images of each modality "
        f"no value passes {made.largest:.4g} ({made.engine}, {made.tensor}), and half ends at "
        f"{LARGEST:.5g}; embeddings keep a cosine of {least:.5f} to FP32 ({state})"
    )
    say(
        f"real images check it better: denet calibrate {bundle} DATA --precision fp16 says what it "
        "costs in mAP, too"
    )


def run_calibration(bundle: Path, request: CalibrationRequest) -> Outcome:
    """Calibrate with a progress bar."""
    from calibration.run import calibrate as run

    with progress("calibrating") as notify:
        return run(bundle, request, notify=notify)


def print_outcome(outcome: Outcome) -> None:
    """The tables of a calibration, and what a person should know of it."""
    from calibration.tables import engine_table, variant_table

    for table in (*(variant_table(outcome, n) for n in outcome.whole), engine_table(outcome)):
        print_whole(table)
    given_up = [
        f"mixed-{target}: {engine}: {reason}"
        for target, selection in outcome.selections.items()
        for engine, reason in selection.reasons.items()
    ]
    for note in (*given_up, *outcome.notes):
        say(note)


@reported(extra="calibrate")
def project(
    bundle: BundleArg,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A data set, whose training split is used."),
    ],
    dim: Annotated[int, typer.Option(min=1, help="Numbers that a projected embedding has.")] = 512,
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="mAP points that the mean over the states may lose (0.5)."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples to fit it on, at most (512).")
    ] = None,
    seed: SamplesSeedOpt = 0,
    batch: BatchOpt = 8,
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Make embeddings shorter: put a projection, fitted on data, into the bundle."""
    from calibration.project import SAMPLES, ProjectionRequest
    from calibration.projection import projection_facts, projection_table
    from runtime.bundle.signature import has_signature

    request = ProjectionRequest(
        data=data,
        dim=dim,
        samples=samples or SAMPLES,
        seed=seed,
        budget=budget,
        batch=batch,
        threads=threads,
    )
    was_signed = has_signature(bundle)
    made = run_projection(bundle, request)
    if as_json:
        print_json({"bundle": str(bundle), **projection_facts(made.choice)})
        return
    print_whole(projection_table(made.choice))
    for note in made.samples.notes:
        say(note)
    say(f"{bundle}: embeddings of {dim} from now on")
    say_unsigned(bundle, was_signed=was_signed)


def run_projection(bundle: Path, request: ProjectionRequest) -> Projected:
    """Project with a progress bar."""
    from calibration.project import project as run

    with progress("projecting") as notify:
        return run(bundle, request, notify=notify)


@reported(extra="calibrate")
@grouped
def calibrate_scores(
    bundle: BundleArg,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A data set, whose test split is used."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", help="A file of scores to write (.json), and leave the bundle as it is."
        ),
    ] = None,
    *,
    ranges: RangesOpt = None,
    running: RuntimeOptions,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Measure how alike strangers look in each pair of missing states, and put it into the bundle:
    from then on matches are told by false-match rate."""
    from calibration.scores import check_scores_file, measure_scores, put_scores, write_scores
    from calibration.write import check_writable
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.signature import has_signature
    from runtime.gallery.describe import scores_facts, scores_table
    from runtime.loading import loaded, read_ranges

    whole = Bundle.open(bundle)
    if to is not None:
        check_scores_file(to)
    else:
        check_writable(whole)
    was_signed = has_signature(bundle)
    known = read_ranges(ranges, whole.graph)
    with loaded(whole, running, batch, ranges=known) as runtime, progress("measuring") as notify:
        scores = measure_scores(runtime, data, lambda done, total: notify("measuring", done, total))
    if to is not None:
        write_scores(scores, to)
    else:
        put_scores(whole, scores)
    if as_json:
        print_json({"out": str(to or bundle), **scores_facts(scores)})
        return
    print_whole(scores_table(scores))
    say(f"{to or bundle}: tells false-match rates down to {scores.least_rate:.2g}")
    if to is None:
        say_unsigned(bundle, was_signed=was_signed)
