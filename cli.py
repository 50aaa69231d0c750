"""The command line: puts the commands of all packages together, and has those that join packages
which do not know each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands import (
    BudgetOpt,
    TargetOpt,
    calibrate,
    calibrate_scores,
    project,
    requested,
    run_calibration,
    run_fp16,
    run_projection,
    say_fp16,
)
from denet.commands import evaluation
from denet.commands.data import data, synth
from denet.commands.experiment import experiment
from denet.commands.init import init
from denet.commands.train import train
from denet.console import progress, reported, say
from denet.entry import EntryGroup
from denet.options import (
    DataArg,
    JsonOpt,
    RuntimeOptions,
    ThreadsOpt,
    VersionOpt,
    grouped,
)
from denet.progress import stepwise
from export.commands import CardOptions, NeckOpt, verify, with_neck
from export.graphs.commands import bundle_of_graphs, check_bundle_alone, run_graphs
from export.tensorrt.commands import BuilderOptions, build_command, run_build
from runtime.benchmark.commands import bench_commands
from runtime.commands import doctor, embed, inspect, sign, slim
from runtime.fleet.commands import fleet
from runtime.gallery.commands import gallery
from runtime.loading import loaded
from runtime.node.commands import node
from runtime.node.recorded.commands import track
from runtime.profile.commands import FindErrors, profile_command
from runtime.serve.commands import probe, serve

if TYPE_CHECKING:
    from calibration.half import HalfOutcome
    from denet.subject import Subject
    from runtime.bundle.bundle import Bundle


@reported(extra="train")
@grouped
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint, or a bundle.")],
    root: DataArg,
    *,
    asked: evaluation.EvaluationOptions,
    running: RuntimeOptions,
    as_json: JsonOpt = False,
) -> None:
    """Measure mAP and CMC in all missing states."""
    evaluation.evaluate(
        model,
        root,
        asked,
        lambda: opened(model, running, asked.batch, asked.workers),
        as_json=as_json,
    )


@reported(extra="train")
@grouped
def report(
    root: DataArg,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Checkpoints and bundles.")
    ],
    *,
    asked: evaluation.ReportOptions,
    threads: ThreadsOpt = None,
) -> None:
    """Compare models on a data set, as one HTML page with figures."""
    running = RuntimeOptions(threads=threads)
    evaluation.report(
        root, models, asked, lambda model: opened(model, running, asked.batch, asked.workers)
    )


def opened(model: Path, running: RuntimeOptions, batch: int, workers: int) -> Subject:
    """The model at `model`: PyTorch for a checkpoint, a backend for a bundle."""
    import torch

    from denet.embed import BundleEmbedder
    from denet.subject import Subject, SubjectError, checkpoint_subject, manifest_config

    if model.is_dir():
        from runtime.bundle.describe_card import card_rows

        runtime = loaded(model, running, batch)
        return Subject(
            model,
            BundleEmbedder(runtime),
            manifest_config(model, runtime.bundle.manifest.model),
            f"{runtime.backend}, {runtime.precision}",
            exported_from=runtime.bundle.manifest.checkpoint_sha256,
            card=card_rows(runtime.bundle.manifest),
        )
    if (running.backend, running.precision, running.key) != ("auto", "auto", None):
        raise SubjectError(
            f"{model}: a checkpoint runs in PyTorch: --backend, --precision and --key are for "
            "bundles"
        )
    if running.threads is not None:
        torch.set_num_threads(running.threads)
    return checkpoint_subject(model, batch=batch, workers=workers)


@reported(extra="train")
@grouped
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A DENet checkpoint (.safetensors).")],
    to: Annotated[Path, typer.Option("--out", help="The bundle to make, as NAME.denet.")],
    precision: Annotated[
        str,
        typer.Option(
            help="[b]fp32[/b]; [b]fp16[/b], which needs no data; or calibrate as well: "
            "[b]auto[/b], [b]int8[/b]."
        ),
    ] = "fp32",
    embedding_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Project embeddings to so many numbers, as 512; see [b]denet project[/b].",
        ),
    ] = None,
    calibration_data: Annotated[
        Path | None,
        typer.Option(help="Data to calibrate and project with; see [b]denet calibrate[/b]."),
    ] = None,
    target: TargetOpt = None,
    budget: BudgetOpt = None,
    neck: NeckOpt = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --out.")] = False,
    threads: ThreadsOpt = None,
    monolithic: Annotated[
        bool,
        typer.Option(
            "--monolithic",
            help="Write one graph of each missing state instead, for C++, Triton and DeepStream: "
            "--out is a folder, and CHECKPOINT may be a bundle.",
        ),
    ] = False,
    trt: Annotated[
        bool,
        typer.Option(
            "--trt",
            help="Build TensorRT engines, too, as [b]denet build[/b] does.",
            rich_help_panel="TensorRT",
        ),
    ] = False,
    *,
    carded: CardOptions,
    builder: BuilderOptions,
) -> None:
    """Export a checkpoint to ONNX engines, one for each component, checked against PyTorch."""
    from export.tensorrt.build import calibration_platforms, check_machine, check_unused

    options = builder.parsed()
    if monolithic and checkpoint.is_dir():
        check_bundle_alone(
            *(checkpoint, calibration_data, embedding_dim, budget, neck),
            *(carded.card, carded.test_data),
        )
        run_graphs(checkpoint, to, precision, target, options if trt else None, force=force)
        return
    if trt:
        check_machine(options)
        target = calibration_platforms(target, precision)
    else:
        check_unused(options)

    from denet.checkpoint import open_checkpoint
    from denet.files import file_digest
    from export.bundle import check_out, export_bundle, export_steps

    shorter, request = requested(
        calibration_data, precision, target, dim=embedding_dim, budget=budget, threads=threads
    )
    if monolithic:
        from export.graphs.write import check_graphs

        check_graphs(to, replace=force)
    else:
        check_out(to, force)
    stored = open_checkpoint(checkpoint)
    model, card = with_neck(stored.model, neck), carded.begun(stored)
    if shorter is not None:
        from calibration.project import check_dim

        check_dim(shorter.dim, model.dim, checkpoint)

    half: list[HalfOutcome] = []

    def finish(root: Path) -> None:
        if shorter is not None:
            run_projection(root, shorter)
        if request is not None:
            run_calibration(root, request)
        elif precision == "fp16":
            half.append(run_fp16(root, threads=threads))
        carded.measure(root, threads)

    steps = export_steps(model.graph)
    with bundle_of_graphs(to) if monolithic else nullcontext(to) as place:
        with progress("exporting", steps) as notify:
            bundle = export_bundle(
                model,
                place,
                checkpoint_sha256=file_digest(checkpoint),
                card=card,
                replace=force and not monolithic,
                threads=threads,
                finish=finish,
                notify=stepwise(notify, steps),
            )
        for made in half:
            say_fp16(place, made)
        if monolithic:
            run_graphs(place, to, precision, target, options if trt else None, force=force)
            return
    size = sum(file.bytes for file in bundle.manifest.files())
    count = len(bundle.manifest.engines)
    say(
        f"{to}: {count} engine{'s' * (count > 1)}, {size / 1e6:.0f} MB; every engine and "
        "every state agrees with PyTorch"
    )
    if trt:
        run_build(to, "auto", options)


def export_graphs(
    checkpoint: Path, bundle: Bundle, folder: Path, notify: Callable[[str], None]
) -> None:
    """The graph of each state, for a benchmark."""
    from export.monolith import export_monoliths

    export_monoliths(checkpoint, bundle, folder, notify=notify)


def add_fp16(bundle: Path, *, shown: bool) -> None:
    """FP16 for a bundle that is built in it and lacks it."""
    made = run_fp16(bundle, make_default=False)
    if shown:
        say_fp16(bundle, made)


def prepare_errors(
    bundle: Bundle, variant: str, images: Path | None, threads: int | None
) -> FindErrors:
    """What INT8 costs by layer, for a profile."""
    from calibration.layer_errors import LayerErrors

    return LayerErrors(bundle, variant, images, threads).find


bench = bench_commands(export_graphs=export_graphs)
profile = profile_command(prepare_errors=prepare_errors)
build = build_command(add_fp16=add_fp16)
gallery.command("calibrate")(calibrate_scores)

COMMANDS: dict[str, Callable[..., None] | typer.Typer] = {
    "init": init,
    "synth": synth,
    "data": data,
    "train": train,
    "eval": evaluate,
    "export": export,
    "calibrate": calibrate,
    "report": report,
    "slim": slim,
    "doctor": doctor,
    "inspect": inspect,
    "verify": verify,
    "sign": sign,
    "embed": embed,
    "bench": bench,
    "profile": profile,
    "build": build,
    "gallery": gallery,
    "node": node,
    "track": track,
    "fleet": fleet,
    "serve": serve,
    "probe": probe,
    "experiment": experiment,
    "project": project,
}
"""In the order in which a person needs them: as the README has them."""


class InOrder(EntryGroup):
    """Lists commands and groups of commands as `COMMANDS` does, not groups last."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The names, in order."""
        return list(COMMANDS)


app = typer.Typer(
    name="denet",
    cls=InOrder,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for name, command in COMMANDS.items():
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


@app.callback()
def main(_version: VersionOpt = False) -> None:
    """Train DENet, take it apart into engines, run them in any missing state."""


if __name__ == "__main__":
    app()
