"""The command line: one thin function for each command."""

from __future__ import annotations

import functools
import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from denet.errors import DenetError

if TYPE_CHECKING:
    from calibration import Outcome, Request
    from calibration.project import Projected, ProjectionRequest
    from denet.graph import Modality
    from denet.subject import Subject
    from runtime.backends.tensorrt.target import BuildOptions
    from runtime.benchmark.grid import Grid
    from runtime.gallery.sightings import Sightings

app = typer.Typer(
    name="denet",
    help="Train DENet, take it apart into 15 engines, run them in any missing state.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

out = Console()
err = Console(stderr=True)

Command = TypeVar("Command", bound=Callable[..., Any])

TRAIN_PACKAGES = {
    "jinja2",
    "lightning_fabric",
    "matplotlib",
    "onnx",
    "onnxscript",
    "pytorch_metric_learning",
    "safetensors",
    "sklearn",
    "timm",
    "torch",
    "torchvision",
}

CALIBRATING = {"calibrate", "gallery_calibrate", "project"}
"""Commands that need the packages of calibration, and no torch."""

BundleArg = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")]
BackendOpt = Annotated[
    str,
    typer.Option(
        help="[b]auto[/b], [b]tensorrt[/b], [b]ort-trt[/b], [b]ort-trt-rtx[/b], [b]ort-cuda[/b] or "
        "[b]ort-cpu[/b]; a name is a demand."
    ),
]
PrecisionOpt = Annotated[
    str,
    typer.Option(
        help="[b]auto[/b] (the bundle's default), [b]fp32[/b], [b]fp16[/b], [b]int8[/b] or "
        "[b]mixed[/b]; a name is a demand."
    ),
]
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
ThreadsOpt = Annotated[int | None, typer.Option(min=1, help="CPU threads (default: cores).")]
BatchOpt = Annotated[int, typer.Option(min=1, help="Samples run at once, at most.")]
WorkersOpt = Annotated[
    int, typer.Option(min=0, help="Processes that load images, for a checkpoint.")
]
PresetOpt = Annotated[
    str | None,
    typer.Option(help="[b]paper[/b] (default), [b]strong[/b], or [b]small[/b] for a CPU."),
]
ConfigOpt = Annotated[
    Path | None, typer.Option(help="TOML with [model], [train], [augment] to override it.")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]

ProfileOpt = Annotated[
    str,
    typer.Option(
        "--batch",
        metavar="MIN:OPT:MAX",
        help="Batches the engines take, and the one they are tuned for.",
        rich_help_panel="TensorRT",
    ),
]
OptLevelOpt = Annotated[
    int,
    typer.Option(
        min=0, max=5, help="How long it looks for fast kernels.", rich_help_panel="TensorRT"
    ),
]
WorkspaceOpt = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="MIB",
        help="Scratch memory a kernel may take (default: all).",
        rich_help_panel="TensorRT",
    ),
]
Tf32Opt = Annotated[
    bool,
    typer.Option(
        "--tf32", help="Let FP32 products use TF32: faster, less exact.", rich_help_panel="TensorRT"
    ),
]
VersionsOpt = Annotated[
    bool,
    typer.Option(
        "--version-compatible",
        help="Engines for later TensorRT releases, too.",
        rich_help_panel="TensorRT",
    ),
]
HardwareOpt = Annotated[
    bool,
    typer.Option(
        "--hardware-compatible",
        help="Engines for other Ampere or later GPUs, too; not on a Jetson.",
        rich_help_panel="TensorRT",
    ),
]


def reported(command: Command) -> Command:
    """Turn an error that the user can mend into one clear line and exit code 2."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DenetError as error:
            message = escape(str(error))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in TRAIN_PACKAGES:
                raise
            extra = "calibrate" if command.__name__ in CALIBRATING else "train"
            message = (
                f"this command needs {error.name}, which a camera node does not have: "
                f"pip install '.\\[{extra}]'"
            )
        err.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
        raise typer.Exit(2)

    return run  # type: ignore[return-value]


def progress(total: int, text: str) -> tuple[Progress, Any]:
    """A progress bar on standard error, gone when it is done, and its task."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )
    return bar, bar.add_task(text, total=total)


def say(text: str) -> None:
    """Print a line as it is, however long: a program or a person may copy it."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def print_whole(table: Table) -> None:
    """A table in its full width: a terminal that is too narrow wraps it, and hides no column."""
    width = Measurement.get(out, out.options.update(width=400), table).maximum
    Console(width=max(out.width, width)).print(table)


@app.command()
@reported
def init(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to write (.safetensors).")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    backbone: Annotated[str | None, typer.Option(help="Instead of the configuration's.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="ImageNet weights for the backbones.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write an untrained checkpoint, for trying things."""
    from denet.checkpoint import save_checkpoint
    from denet.initialize import initial_model
    from denet.recipe import model_config

    model = initial_model(model_config(preset, config, backbone), seed=seed, pretrained=pretrained)
    save_checkpoint(model, checkpoint, replace=force)
    out.print(f"{checkpoint}: untrained {model.config.backbone}", highlight=False, soft_wrap=True)


@app.command()
@reported
def synth(
    to: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to make.")],
    identities: Annotated[int, typer.Option(help="How many people, half of them to train.")] = 60,
    cameras: Annotated[int, typer.Option(help="How many cameras see each of them.")] = 4,
    shots: Annotated[int, typer.Option(help="Of each person by each camera.")] = 4,
    height: Annotated[int, typer.Option(help="Of an image, in pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Of an image, in pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="Another seed gives other people and cameras.")] = 0,
) -> None:
    """Draw a synthetic data set of people in three modalities."""
    from denet.data.synthetic import SyntheticConfig, write_synthetic

    config = SyntheticConfig(
        identities=identities,
        cameras=cameras,
        shots=shots,
        height=height,
        width=width,
        seed=seed,
    )
    bar, task = progress(identities, "drawing")
    with bar:
        write_synthetic(to, config, notify=lambda _: bar.advance(task))
    count = identities * cameras * shots
    out.print(f"{to}: {count} triplets of {identities} people", highlight=False, soft_wrap=True)


@app.command()
@reported
def data(
    root: Annotated[Path, typer.Argument(metavar="DATA", help="RGBNT201, RGBNT100 or alike.")],
) -> None:
    """Check a data set: read every image, say what is wrong."""
    from denet.data.check import check_data, report_table

    bar, task = progress(0, "reading")
    with bar:
        report = check_data(
            root, notify=lambda done, total: bar.update(task, completed=done, total=total)
        )
    out.print(report_table(report))


@app.command()
@reported
def train(
    root: Annotated[Path, typer.Argument(metavar="DATA", help="RGBNT201, RGBNT100 or alike.")],
    to: Annotated[Path, typer.Option("--out", help="The directory of the run.")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run at --out, with its own recipe.")
    ] = False,
) -> None:
    """Train a DENet; a run can be interrupted and resumed."""
    from denet.data.records import DataError, open_data
    from denet.interrupt import Interrupted, interruptible

    first = os.environ.get("RANK", "0") == "0"  # of several processes only the first speaks
    where = "before the first epoch"
    bar, task = progress(0, "training")
    bar.disable = not first
    try:
        with interruptible() as interruption:
            from denet.recipe import read_recipe
            from denet.train import Progress as Done
            from denet.train import train as run

            def show(done: Done) -> None:
                nonlocal where
                interruption.check()
                where = f"in epoch {done.epoch}"
                text = done.describe()
                bar.update(task, completed=done.batch, total=done.batches, description=text)

            own = resume and preset is None and config is None
            with bar:
                best = run(
                    None if own else read_recipe(preset, config),
                    open_data(root),
                    to,
                    resume=resume,
                    on_batch=show,
                    on_epoch=lambda report: bar.console.print(
                        report.describe(), highlight=False, soft_wrap=True
                    ),
                )
    except Interrupted as stop:
        if first:
            text = f"interrupted {where}; {how_to_continue(root, to)}"
            err.print(text, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(stop.exit_code) from None
    except DenetError as error:
        if first or isinstance(error, DataError):
            raise
        raise typer.Exit(2) from None  # the first process has the same error
    if first:
        out.print(f"{best}: the best checkpoint", highlight=False, soft_wrap=True)


def how_to_continue(root: Path, to: Path) -> str:
    """What to type after an interruption of training."""
    from denet.run import RECIPE

    if not (to / RECIPE).exists():
        return "nothing was begun: start it again"
    command = ["denet", "train", str(root), "--out", str(to), "--resume"]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        command = ["torchrun", "...", *command]
    return f"continue with: {shlex.join(command)}"


@app.command()
@reported
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="table1 to table7, fig5-rho, fig5-mu, fig5-eta, "
            "states, or several as table1,table5."
        ),
    ],
    root: Annotated[Path, typer.Argument(metavar="DATA", help="RGBNT201, RGBNT100 or alike.")],
    to: Annotated[Path, typer.Option("--out", help="The directory of runs and tables.")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often each variant is trained.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
) -> None:
    """Run the paper's experiments; finished runs are shared and kept."""
    from denet.data.records import open_data
    from denet.experiments import catalog, study, tables
    from denet.files import written_whole
    from denet.recipe import read_recipe

    names = name.split(",")
    chosen = [catalog.experiment(each) for each in names]
    recipe = read_recipe(preset, config)
    data = open_data(root)
    todo = study.jobs_of(chosen, recipe, seeds, to)
    bar, task = progress(len(todo), "training")
    with bar:
        study.run_jobs(todo, data, jobs, notify=lambda _: bar.advance(task))
    grids = [(each, tables.tabulate(each, todo, data.name)) for each in chosen]
    for each, (_, grid) in zip(names, grids, strict=True):
        out.print(grid.for_terminal())
        with written_whole(to / f"{each}.md") as temporary:
            temporary.write_text(grid.markdown(), encoding="utf-8")
        out.print(f"{to / each}.md", highlight=False, soft_wrap=True)


@app.command(name="eval")
@reported
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint, or a bundle.")],
    root: Annotated[Path, typer.Argument(metavar="DATA", help="RGBNT201, RGBNT100 or alike.")],
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Also each query state against each gallery state.")
    ] = False,
    missing_rate: Annotated[
        str | None, typer.Option(help="Also the paper's missing rates, as 0:1:0.1 or 0.5.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw figures, as PNG in this folder.")
    ] = None,
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Also compare recovered features with real ones.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Draw into a folder that is not empty.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of what is missing at a rate, and of what figures show.")
    ] = 0,
    batch: BatchOpt = 32,
    workers: WorkersOpt = 0,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Measure mAP and CMC in all missing states."""
    from denet.data.records import open_data
    from denet.evaluate import parse_rates
    from denet.examine import RATES, examine
    from denet.tables import matrix_table, ranking_table, recovery_table
    from denet.testset import open_split

    if figures is not None:
        from denet.figures import NOT_OF_A_BUNDLE, check_folder, draw_figures, write_figures

        check_folder(figures, replace=force)
        missing_rate = missing_rate or RATES
    rates = parse_rates(missing_rate) if missing_rate else []
    known = open_data(root)
    split = open_split(known)
    subject = opened(model, backend, precision, threads, batch, workers)
    pictures: list[Path] = []
    with err.status("evaluating") as status:
        found = examine(
            subject,
            split,
            matrix=matrix,
            rates=rates,
            recovery=recovery,
            seed=seed,
            batch=batch,
            workers=workers,
        )
        if figures is not None:
            drawings = draw_figures(
                split,
                found.embed,
                {str(model): found.states},
                found.rates,
                model=subject.model,
                ranges=subject.ranges,
                seed=seed,
                notify=status.update,
            )
            pictures = write_figures(figures, drawings)
    if figures is not None and subject.model is None:
        err.print(f"{model}: {NOT_OF_A_BUNDLE}", highlight=False, soft_wrap=True)
    if as_json:
        facts = {"model": str(model), "data": str(root), **found.facts()}
        print(json.dumps(facts | {"figures": [str(path) for path in pictures]}, indent=2))
        return
    title = f"{model} on {known.name} ({len(split.query)} queries)"
    out.print(ranking_table(title, "state", {s.name: r for s, r in found.states.items()}))
    if found.matrix:
        out.print(matrix_table(found.matrix))
    if found.rates:
        rows = {f"{rate:.0%}": ranking for rate, ranking in found.rates.items()}
        out.print(ranking_table("At a missing rate", "missing", rows))
    if found.recovery:
        out.print(recovery_table(found.recovery))
    if pictures:
        names = ", ".join(path.name for path in pictures)
        out.print(f"{figures}: {names}", highlight=False, soft_wrap=True)


@app.command()
@reported
def report(
    root: Annotated[Path, typer.Argument(metavar="DATA", help="RGBNT201, RGBNT100 or alike.")],
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Checkpoints and bundles.")
    ],
    to: Annotated[Path, typer.Option("--out", help="The page to write (.html).")],
    figures_of: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Whose figures it shows (default: last checkpoint)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report at --out.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of what is missing at a rate, and of what figures show.")
    ] = 0,
    batch: BatchOpt = 32,
    workers: WorkersOpt = 0,
    threads: ThreadsOpt = None,
) -> None:
    """Compare models on a data set, as one HTML page with figures."""
    from denet.data.records import open_data
    from denet.report import check_report, choose_shown, make_report, short_names, write_report
    from denet.tables import comparison_table
    from denet.testset import open_split

    check_report(to, replace=force)
    names = short_names(models)
    known = open_data(root)
    split = open_split(known)
    subjects = {
        name: opened(model, "auto", "auto", threads, batch, workers)
        for name, model in zip(names, models, strict=True)
    }
    shown = choose_shown(subjects, figures_of)
    with err.status("evaluating") as status:
        made = make_report(
            known,
            split,
            subjects,
            shown,
            seed=seed,
            batch=batch,
            workers=workers,
            notify=status.update,
        )
        write_report(made, to)
    out.print(comparison_table(f"{known.name} ({len(split.query)} queries)", made.states))
    for parity in made.parities:
        out.print(parity.describe(), highlight=False, soft_wrap=True)
    out.print(f"{to}: the report", highlight=False, soft_wrap=True)


def opened(
    model: Path, backend: str, precision: str, threads: int | None, batch: int, workers: int
) -> Subject:
    """The model at `model`: PyTorch for a checkpoint, a backend for a bundle."""
    import torch

    from denet.embed import BundleEmbedder
    from denet.subject import Subject, SubjectError, checkpoint_subject, manifest_config

    if model.is_dir():
        from runtime import Runtime

        runtime = Runtime.load(model, backend, precision, threads=threads, max_batch=batch)
        return Subject(
            model,
            BundleEmbedder(runtime),
            manifest_config(model, runtime.bundle.manifest.model),
            f"{runtime.backend}, {runtime.precision}",
            exported_from=runtime.bundle.manifest.checkpoint_sha256,
        )
    if (backend, precision) != ("auto", "auto"):
        raise SubjectError(
            f"{model}: a checkpoint runs in PyTorch: --backend and --precision are for bundles"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    return checkpoint_subject(model, batch=batch, workers=workers)


@app.command()
@reported
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A DENet checkpoint (.safetensors).")],
    to: Annotated[Path, typer.Option("--out", help="The bundle to make, as NAME.denet.")],
    precision: Annotated[
        str,
        typer.Option(
            help="[b]fp32[/b]; or calibrate as well: [b]auto[/b], [b]int8[/b], [b]fp16[/b]."
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
        typer.Option(help="What to calibrate and project with; see [b]denet calibrate[/b]."),
    ] = None,
    target: TargetOpt = None,
    budget: BudgetOpt = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --out.")] = False,
    threads: ThreadsOpt = None,
    trt: Annotated[
        bool,
        typer.Option(
            "--trt",
            help="Also build TensorRT engines, as [b]denet build[/b].",
            rich_help_panel="TensorRT",
        ),
    ] = False,
    profile: ProfileOpt = "1:1:16",
    opt_level: OptLevelOpt = 3,
    workspace: WorkspaceOpt = None,
    tf32: Tf32Opt = False,
    version_compatible: VersionsOpt = False,
    hardware_compatible: HardwareOpt = False,
) -> None:
    """Export a checkpoint to 15 ONNX engines, checked against PyTorch."""
    from export.tensorrt.build import calibration_target, check_machine, check_unused, parse_options

    options = parse_options(
        profile, opt_level, workspace, tf32, version_compatible, hardware_compatible
    )
    if trt:
        check_machine(options)
        target = calibration_target(target, precision)
    else:
        check_unused(options)

    from denet.checkpoint import file_digest, load_checkpoint
    from export.bundle import STEPS, check_target, export_bundle

    request = shorter = None
    if precision != "fp32" or (calibration_data is not None and embedding_dim is None):
        request = calibration_request(
            calibration_data, precision, target, budget=budget, threads=threads
        )
    if embedding_dim is not None:
        from calibration.project import check_dim, projection_request

        shorter = projection_request(calibration_data, embedding_dim, budget, threads)
    check_target(to, force)
    model = load_checkpoint(checkpoint)
    if shorter is not None:
        check_dim(shorter.dim, model.dim, checkpoint)

    def finish(root: Path) -> None:
        if shorter is not None:
            run_projection(root, shorter)
        if request is not None:
            run_calibration(root, request)

    bar, task = progress(STEPS, "exporting")
    with bar:
        bundle = export_bundle(
            model,
            to,
            checkpoint_sha256=file_digest(checkpoint),
            replace=force,
            threads=threads,
            finish=finish,
            notify=lambda what: bar.update(task, advance=1, description=what),
        )
    size = sum(file.bytes for file in bundle.manifest.files())
    out.print(
        f"{to}: 15 engines, {size / 1e6:.0f} MB; every engine and every state agrees with PyTorch",
        highlight=False,
        soft_wrap=True,
    )
    if trt:
        shown_build(to, "auto", options)


@app.command()
@reported
def build(
    bundle: BundleArg,
    precision: Annotated[
        str,
        typer.Option(
            help="[b]auto[/b] (the bundle's default), [b]fp32[/b], [b]fp16[/b], [b]int8[/b] or "
            "[b]mixed[/b]."
        ),
    ] = "auto",
    no_rebuild: Annotated[
        bool, typer.Option("--no-rebuild", help="Refuse where an engine is stale.")
    ] = False,
    profile: ProfileOpt = "1:1:16",
    opt_level: OptLevelOpt = 3,
    workspace: WorkspaceOpt = None,
    tf32: Tf32Opt = False,
    version_compatible: VersionsOpt = False,
    hardware_compatible: HardwareOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Build TensorRT engines of a bundle, for this machine's GPU."""
    from export.tensorrt.build import parse_options

    options = parse_options(
        profile, opt_level, workspace, tf32, version_compatible, hardware_compatible
    )
    shown_build(bundle, precision, options, rebuild=not no_rebuild, as_json=as_json)


def shown_build(
    bundle: Path,
    precision: str,
    options: BuildOptions,
    *,
    rebuild: bool = True,
    as_json: bool = False,
) -> None:
    """Build TensorRT engines with a progress bar, and say what came of it."""
    from export.tensorrt.build import build_engines
    from export.tensorrt.report import build_facts, build_notes, build_table
    from runtime.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    bar, task = progress(len(opened.manifest.engines), "building")
    with bar:
        made = build_engines(
            opened,
            precision,
            options,
            rebuild=rebuild,
            notify=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )
    if as_json:
        print(json.dumps(build_facts(made), indent=2))
        return
    out.print(build_table(made))
    for note in build_notes(made):
        say(note)


@app.command()
@reported
def calibrate(
    bundle: BundleArg,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A data set, whose training split is used, or a folder with RGB/, NI/, TI/.",
        ),
    ],
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
        str, typer.Option(help="Of the ranges: [b]minmax[/b], [b]percentile[/b], [b]entropy[/b].")
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
        Path | None, typer.Option(metavar="HTML", help="Also write a page with tables and plots.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page at --report.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of samples.")] = 0,
    batch: BatchOpt = 8,
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Add FP16 and INT8 engines, chosen within a budget."""
    from calibration.report import (
        check_report,
        engine_table,
        outcome_facts,
        variant_table,
        write_report,
    )

    request = calibration_request(
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
    outcome = run_calibration(bundle, request)
    if report is not None:
        write_report(outcome, report, replace=force)
    if as_json:
        print(json.dumps(outcome_facts(outcome), indent=2))
        return
    for table in (*(variant_table(outcome, n) for n in outcome.whole), engine_table(outcome)):
        print_whole(table)
    given_up = [
        f"mixed-{target}: {engine}: {reason}"
        for target, selection in outcome.selections.items()
        for engine, reason in selection.reasons.items()
    ]
    for note in (*given_up, *outcome.notes):
        say(note)
    default = outcome.bundle.manifest.default_precision
    out.print(f"{bundle}: runs in {default} from now on", highlight=False, soft_wrap=True)
    if report is not None:
        out.print(f"{report}: the report", highlight=False, soft_wrap=True)


def calibration_request(
    data: Path | None, precision: str, target: str | None, **others: Any
) -> Request:
    """What is asked of a calibration, seen to be possible."""
    from calibration.errors import CalibrationError
    from calibration.outcome import request

    if data is None:
        raise CalibrationError(
            f"--precision {precision} is calibrated: name the data by --calibration-data"
        )
    return request(data, precision, target, **others)


def run_calibration(bundle: Path, request: Request) -> Outcome:
    """Calibrate with a progress bar."""
    from calibration import calibrate as run

    bar, task = progress(0, "calibrating")
    with bar:
        return run(
            bundle,
            request,
            notify=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )


@app.command()
@reported
def project(
    bundle: BundleArg,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A data set, whose training split is used."),
    ],
    dim: Annotated[int, typer.Option(min=1, help="Numbers that an embedding has behind it.")] = 512,
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="mAP points that the mean over the states may lose (0.5)."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples to fit it on, at most (512).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of samples.")] = 0,
    batch: BatchOpt = 8,
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Make embeddings shorter: put a projection, fitted on data, into the bundle."""
    from calibration.project import SAMPLES, ProjectionRequest
    from calibration.projection import projection_facts, projection_table

    request = ProjectionRequest(
        data=data,
        dim=dim,
        samples=samples or SAMPLES,
        seed=seed,
        budget=budget,
        batch=batch,
        threads=threads,
    )
    made = run_projection(bundle, request)
    if as_json:
        print(json.dumps({"bundle": str(bundle), **projection_facts(made.choice)}, indent=2))
        return
    print_whole(projection_table(made.choice))
    for note in made.samples.notes:
        say(note)
    out.print(f"{bundle}: embeddings of {dim} from now on", highlight=False, soft_wrap=True)


def run_projection(bundle: Path, request: ProjectionRequest) -> Projected:
    """Project with a progress bar."""
    from calibration.project import project as run

    bar, task = progress(0, "projecting")
    with bar:
        return run(
            bundle,
            request,
            notify=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )


@app.command()
@reported
def slim(
    bundle: BundleArg,
    to: Annotated[Path, typer.Option("--out", help="The bundle to make, as NAME.denet.")],
    precision: Annotated[
        str | None,
        typer.Option(help="What it holds, as int8-vnni or mixed-trt (default: what runs here)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --out.")] = False,
) -> None:
    """Copy one precision of a bundle, for a camera node."""
    from runtime.backends.choose import choose
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.slim import slim as run

    whole = Bundle.open(bundle)
    wanted = precision or choose(whole, "ort-cpu", "auto", None).variant
    made = run(whole, to, wanted, replace=force)
    sizes = [sum(file.bytes for file in b.manifest.files()) / 1e6 for b in (whole, made)]
    out.print(
        f"{to}: {wanted}, {sizes[1]:.1f} MB of {sizes[0]:.1f} MB", highlight=False, soft_wrap=True
    )


@app.command()
@reported
def inspect(
    bundle: BundleArg,
    state: Annotated[str | None, typer.Option(help="Only this state, such as rgb+tir.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show a bundle's engines, and what runs in each missing state."""
    from denet.graph import STATES, State
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.describe import bundle_facts, describe_bundle

    states = STATES if state is None else (State.parse(state),)
    opened = Bundle.open(bundle)
    if as_json:
        print(json.dumps(bundle_facts(opened, states), indent=2))
    else:
        out.print(describe_bundle(opened, states))


@app.command()
@reported
def verify(
    bundle: BundleArg,
    against: Annotated[
        Path | None, typer.Option(help="Also compare engine by engine with this checkpoint.")
    ] = None,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Check a bundle's files, and its golden inputs on this machine."""
    from runtime import Bundle, Runtime
    from runtime.bundle.describe import canary_table

    opened = Bundle.open(bundle)
    opened.verify()
    with Runtime.load(opened, backend, precision, threads=threads) as runtime:
        report = runtime.check()
        facts: dict[str, Any] = {
            "bundle": str(bundle),
            "backend": runtime.backend,
            "precision": runtime.precision,
            "canary": report.cosines,
        }
        if against is not None:
            from export.parity import STEPS, check_against

            bar, task = progress(STEPS, "comparing")
            with bar:
                worst = check_against(
                    against,
                    runtime,
                    notify=lambda what: bar.update(task, advance=1, description=what),
                )
            facts["against"] = {"checkpoint": str(against)} | worst
        if as_json:
            print(json.dumps(facts, indent=2))
            return
        out.print(f"{bundle}: all files are intact", highlight=False, soft_wrap=True)
        out.print(f"{runtime.backend}, {runtime.precision}: {runtime.reason}", highlight=False)
        out.print(canary_table(report))
        if against is not None:
            out.print(
                f"{against}: {worst['comparisons']} comparisons of engines and states agree; "
                f"least cosine {worst['min_cosine']:.8f}, "
                f"largest relative error {worst['max_relative']:.1e}",
                highlight=False,
                soft_wrap=True,
            )


@app.command()
@reported
def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Also say what would run this bundle.")
    ] = None,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Show what this machine has, what can run on it, and what to install for more."""
    from msgspec import to_builtins

    from runtime.doctor import describe_diagnosis, diagnose

    with err.status("looking"):
        found = diagnose(bundle, backend, precision)
    if as_json:
        print(json.dumps(to_builtins(found), indent=2))
    else:
        out.print(describe_diagnosis(found), crop=False)
    found.insist()


@app.command()
@reported
def embed(
    bundle: BundleArg,
    images: Annotated[
        Path | None, typer.Argument(help="A folder with RGB/, NI/ and TI/; what lacks is missing.")
    ] = None,
    rgb: Annotated[Path | None, typer.Option(help="A single visible image.")] = None,
    nir: Annotated[Path | None, typer.Option(help="Its near infrared image.")] = None,
    tir: Annotated[Path | None, typer.Option(help="Its thermal image.")] = None,
    to: Annotated[Path | None, typer.Option("--out", help="The npz file to write.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Take only these modalities of each sample, as rgb+tir.")
    ] = None,
    every_state: Annotated[
        bool, typer.Option("--every-state", help="Embed each sample in each state it allows.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Samples run at once, at most.")] = 16,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    check: Annotated[bool, typer.Option("--check", help="Run the canary first.")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Embed images with a bundle, each in the missing state it is in."""
    from runtime import Runtime
    from runtime.bundle.describe import embedded_facts, embedded_table
    from runtime.embeddings import check_output, embed_files, save_embeddings
    from runtime.samples import choose_samples, missing_everywhere

    samples = choose_samples(
        images, {"rgb": rgb, "nir": nir, "tir": tir}, state=state, every_state=every_state
    )
    check_output(to)
    with Runtime.load(
        bundle, backend, precision, check=check, threads=threads, max_batch=batch
    ) as runtime:
        runtime.prepare({sample.state for sample in samples})
        bar, task = progress(len(samples), "embedding")
        with bar:
            result = embed_files(runtime, samples, notify=lambda n: bar.advance(task, n))
        if to is not None:
            save_embeddings(to, result, runtime)
        if as_json:
            facts = {
                "bundle": str(bundle),
                "backend": runtime.backend,
                "reason": runtime.reason,
                "precision": runtime.precision,
                "out": str(to) if to else None,
                "missing_everywhere": missing_everywhere(samples),
                "states": embedded_facts(result),
            }
            print(json.dumps(facts, indent=2))
            return
        out.print(embedded_table(result))
        if never := missing_everywhere(samples):
            out.print(f"no sample has an image of {', '.join(never)}", highlight=False)
        out.print(f"{runtime.backend}, {runtime.precision}: {runtime.reason}", highlight=False)
        if to is not None:
            out.print(
                f"{to}: {len(samples)} embeddings of {runtime.dim}",
                highlight=False,
                soft_wrap=True,
            )


class RunByDefault(TyperGroup):
    """`denet bench BUNDLE` is `denet bench run BUNDLE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command `run` where no other is named."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(
    cls=RunByDefault,
    help="Measure a bundle on this machine: denet bench BUNDLE; or compare two reports.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(bench, name="bench")


@bench.command("run")
@reported
def bench_run(
    bundle: BundleArg,
    backend: Annotated[str, typer.Option(help="One or more, as ort-cpu,ort-cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="One or more, as fp32,int8: run in turn, compared with the first.")
    ] = "auto",
    only: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS",
            help="Some of: states, batches, stream, dropout, start, images, limits (default: all).",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each state, at least.")] = 100,
    batches: Annotated[str, typer.Option(help="Samples at once, for throughput.")] = "1,2,4,8,16",
    missing_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a stream's samples that lack something.")
    ] = 0.5,
    monolithic: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Also compare with one graph of each state: a folder with rgb+tir.onnx and so "
            "on, or the checkpoint to export them from, which needs torch.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Images to decode, in RGB/, NI/ and TI/ (default: drawn)."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="JSON", help="Write the report, to compare.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Also write a page with tables and plots.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is at --out and --report.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the stream's states and of what is drawn.")
    ] = 0,
    threads: ThreadsOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Measure every missing state, every engine, and how near to its limits this machine is."""
    from denet.evaluate import draw_states
    from denet.outputs import check_output, write_output
    from runtime.benchmark.errors import BenchmarkError
    from runtime.benchmark.page import check_page, page
    from runtime.benchmark.request import read_request
    from runtime.benchmark.result import encode
    from runtime.benchmark.run import bench as run
    from runtime.benchmark.stream import SAMPLES
    from runtime.benchmark.summary import summary
    from runtime.benchmark.tables import grids
    from runtime.bundle.bundle import Bundle

    if to is not None:
        check_output(to, ".json", BenchmarkError, replace=force)
    if report is not None:
        check_output(report, ".html", BenchmarkError, replace=force)
        check_page()
    opened = Bundle.open(bundle)
    with ExitStack() as stack:
        notify = stack.enter_context(still_progress())
        graphs = monolithic
        if monolithic is not None and monolithic.is_file():
            from export.monolith import export_monoliths

            graphs = Path(stack.enter_context(TemporaryDirectory()))
            export_monoliths(monolithic, opened, graphs, notify=notify)
        request = read_request(
            backend=backend,
            precision=precision,
            parts=only,
            batches=batches,
            threads=threads,
            rounds=rounds,
            stream=draw_states(SAMPLES, missing_rate, seed),
            missing_rate=missing_rate,
            seed=seed,
            images=images,
            monoliths=graphs,
        )
        found = run(opened, request, notify=notify)
    encoded = encode(found)
    if to is not None:
        write_output(to, encoded, BenchmarkError)
    if report is not None:
        write_output(report, page(found).encode(), BenchmarkError)
    if as_json:
        print(encoded.decode(), end="")
        return
    for grid in grids(found):
        print_grid(grid)
    for name, value in (*summary(found).items(), *(("note", note) for note in found.notes)):
        say(f"{name}: {value}")
    for path in filter(None, (to, report)):
        out.print(f"{path}: the report", highlight=False, soft_wrap=True)


@bench.command("compare")
@reported
def bench_compare(
    old: Annotated[Path, typer.Argument(metavar="A.json", help="A report of `denet bench --out`.")],
    new: Annotated[Path, typer.Argument(metavar="B.json", help="A later one.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="RATIO",
            help="Exit with 1 where something takes more than so many times as much, beyond the "
            "noise: 1.10 allows a tenth more.",
        ),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show what changed between two reports, and whether it is more than noise."""
    from runtime.benchmark.compare import compare, comparison_facts, comparison_grid
    from runtime.benchmark.files import read_report

    found = compare(read_report(old), read_report(new))
    worse = [] if fail_above is None else found.worse_than(fail_above)
    if as_json:
        print(json.dumps(comparison_facts(found, worse), indent=2))
    else:
        print_grid(comparison_grid(found, fail_above))
        for line in (*found.differences, *(change.describe() for change in worse)):
            say(line)
    if worse:
        raise typer.Exit(1)


def print_grid(grid: Grid) -> None:
    """A table of a benchmark, its title above and what it means below."""
    out.print(grid.title, style="bold", highlight=False, markup=False)
    print_whole(grid.for_terminal())
    if grid.note:
        out.print(grid.note, style="dim", highlight=False, markup=False)
    out.print()


@contextmanager
def still_progress() -> Iterator[Callable[[str], None]]:
    """One line on standard error that changes only when it is told to: what moves by itself takes
    time from what is measured."""
    with Live(console=err, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(Text(text), refresh=True)


gallery = typer.Typer(
    help="Enrol people from images, and search for whom other images show.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(gallery, name="gallery")

GalleryArg = Annotated[
    str, typer.Argument(metavar="GALLERY", help="Its file: [b]gallery.db[/b], or file:gallery.db.")
]
ImagesArg = Annotated[
    Path | None, typer.Argument(help="A folder with RGB/, NI/ and TI/; what lacks is missing.")
]
ThroughOpt = Annotated[
    Path | None, typer.Option("--bundle", help="The bundle that embeds the images.")
]
EmbeddingsOpt = Annotated[
    Path | None,
    typer.Option(metavar="NPZ", help="Instead of images: what [b]denet embed --out[/b] wrote."),
]
RgbOpt = Annotated[Path | None, typer.Option(help="Instead of a folder: a visible image,")]
NirOpt = Annotated[Path | None, typer.Option(help="its near infrared image,")]
TirOpt = Annotated[Path | None, typer.Option(help="its thermal image.")]


@gallery.command("enrol")
@reported
def gallery_enrol(
    setting: GalleryArg,
    images: ImagesArg = None,
    through: ThroughOpt = None,
    embeddings: EmbeddingsOpt = None,
    rgb: RgbOpt = None,
    nir: NirOpt = None,
    tir: TirOpt = None,
    identity: Annotated[
        str | None,
        typer.Option(
            help="Whom all of them show. Default: each file name says it, up to its first "
            "underscore: alice_2.jpg is alice."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Of a new gallery: [b]float16[/b] (default), [b]float32[/b] or [b]int8[/b]."
        ),
    ] = None,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Remember people: add their embeddings to a gallery, which is made if need be."""
    from runtime.gallery import open_gallery
    from runtime.gallery.opening import check_setting

    check_setting(setting, storage)
    seen = sightings(images, rgb, nir, tir, through, embeddings, backend, precision, threads, batch)
    enrolments = seen.enrolments(identity)
    with open_gallery(setting, create=True, storage=storage) as opened_gallery:
        ids = opened_gallery.enrol(seen.space, enrolments)
    if as_json:
        facts = [{"entry": i, "identity": e.identity} for i, e in zip(ids, enrolments, strict=True)]
        print(json.dumps({"gallery": setting, "enrolled": facts}, indent=2))
        return
    names = list(dict.fromkeys(enrolment.identity for enrolment in enrolments))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    say(f"{setting}: enrolled {', '.join(names[:3])}{more}, new entries: {len(ids)}")


@gallery.command("search")
@reported
def gallery_search(
    setting: GalleryArg,
    images: ImagesArg = None,
    through: ThroughOpt = None,
    embeddings: EmbeddingsOpt = None,
    rgb: RgbOpt = None,
    nir: NirOpt = None,
    tir: TirOpt = None,
    top: Annotated[int, typer.Option(min=1, help="Identities shown for each, at most.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="The least cosine of a match; without --scores.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="Compare by false-match rate: what [b]denet gallery calibrate[/b] wrote.",
        ),
    ] = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            help="The greatest false-match rate of a match, as 0.001: what share of strangers may "
            "pass, of each comparison; needs --scores."
        ),
    ] = None,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Find out whom images show: the best identities of a gallery for each of them."""
    from runtime.gallery import open_gallery, read_scores
    from runtime.gallery.describe import match_facts, match_table
    from runtime.gallery.scores import check_limits, least_score

    check_limits(threshold, fmr, scored=scores is not None)
    with open_gallery(setting) as opened_gallery:
        seen = sightings(
            images, rgb, nir, tir, through, embeddings, backend, precision, threads, batch
        )
        table = None if scores is None else read_scores(scores, seen.space)
        least = least_score(table, threshold, fmr)
        found = opened_gallery.search(
            seen.space, seen.embeddings, seen.states, top=top, scores=table
        )
    kept = [[match for match in matches if match.score >= least] for matches in found]
    if as_json:
        facts = match_facts(seen, kept, table)
        print(json.dumps({"gallery": setting, "queries": facts}, indent=2))
        return
    print_whole(match_table(seen, kept, table))


@gallery.command("list")
@reported
def gallery_list(
    setting: GalleryArg,
    identity: Annotated[
        str | None, typer.Option(help="Show the entries of this identity, one by one.")
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show whom a gallery has."""
    from runtime.gallery import open_gallery
    from runtime.gallery.describe import entry_facts, entry_table, identity_table

    with open_gallery(setting) as opened_gallery:
        entries = opened_gallery.entries(identity)
    if as_json:
        print(json.dumps({"gallery": setting, "entries": entry_facts(entries)}, indent=2))
    else:
        print_whole(identity_table(entries) if identity is None else entry_table(entries))


@gallery.command("remove")
@reported
def gallery_remove(
    setting: GalleryArg,
    identity: Annotated[str, typer.Argument(help="Who is to be forgotten.")],
    entry: Annotated[
        int | None, typer.Option(help="Only this entry; [b]list --identity[/b] shows them.")
    ] = None,
) -> None:
    """Forget an identity: overwrite its embeddings in the file."""
    from runtime.gallery import open_gallery

    with open_gallery(setting) as opened_gallery:
        gone = opened_gallery.remove(identity, entry)
    say(f"{setting}: entries of {identity} removed: {gone}")


@gallery.command("calibrate")
@reported
def gallery_calibrate(
    bundle: BundleArg,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A data set, whose test split is used."),
    ],
    to: Annotated[Path, typer.Option("--out", help="The file of scores to write (.json).")],
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    threads: ThreadsOpt = None,
    batch: BatchOpt = 16,
    as_json: JsonOpt = False,
) -> None:
    """Measure how alike strangers look in each pair of missing states, for search --scores."""
    from calibration.scores import check_scores_file, measure_scores
    from runtime import Runtime
    from runtime.gallery.describe import scores_facts, scores_table

    check_scores_file(to)
    bar, task = progress(0, "measuring")
    with (
        Runtime.load(bundle, backend, precision, threads=threads, max_batch=batch) as runtime,
        bar,
    ):
        scores = measure_scores(
            runtime, data, to, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if as_json:
        print(json.dumps({"out": str(to), **scores_facts(scores)}, indent=2))
        return
    print_whole(scores_table(scores))
    out.print(
        f"{to}: tells false-match rates down to {scores.least_rate:.2g}",
        highlight=False,
        soft_wrap=True,
    )


def sightings(
    images: Path | None,
    rgb: Path | None,
    nir: Path | None,
    tir: Path | None,
    bundle: Path | None,
    embeddings: Path | None,
    backend: str,
    precision: str,
    threads: int | None,
    batch: int,
) -> Sightings:
    """Embeddings to enrol or to search for: of images, or of a file."""
    from runtime import Runtime
    from runtime.gallery.sightings import check_given, of_images, read_sightings
    from runtime.samples import choose_samples

    single: dict[Modality, Path | None] = {"rgb": rgb, "nir": nir, "tir": tir}
    check_given(images, single, bundle, embeddings)
    if embeddings is not None:
        return read_sightings(embeddings)
    assert bundle is not None
    samples = choose_samples(images, single, state=None, every_state=False)
    with Runtime.load(bundle, backend, precision, threads=threads, max_batch=batch) as runtime:
        runtime.prepare({sample.state for sample in samples})
        bar, task = progress(len(samples), "embedding")
        with bar:
            return of_images(
                runtime, samples, str(images or "given"), lambda n: bar.advance(task, n)
            )


node = typer.Typer(
    help="Run a camera node: live streams in, embeddings and identities out.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(node, name="node")

ConfigArg = Annotated[Path, typer.Argument(metavar="TOML", help="The node's configuration.")]


@node.command("run")
@reported
def node_run(
    config: ConfigArg,
    inject: Annotated[
        str | None,
        typer.Option(
            metavar="FAULTS",
            help="Make faults on purpose: [b]'every=100;kinds=black|frozen'[/b], or a TOML file; "
            "'' for all kinds.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, metavar="SECONDS", help="Stop after that.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON each second, for a program to read.")
    ] = False,
) -> None:
    """Run until the sources end, or a signal comes: one to finish what is under way, two to stop
    at once."""
    from runtime.node import Facts, Node, read_settings
    from runtime.node.injection import read_faults
    from runtime.node.memory import share_one_arena
    from runtime.node.printer import Teller
    from runtime.node.running import Signals, run_node

    share_one_arena()
    settings = read_settings(config)
    faults = None if inject is None else read_faults(inject)
    signals = Signals()
    before: Facts | None = None

    def report(facts: Facts) -> None:
        nonlocal before
        if as_json:
            print(json.dumps(facts.plain()), flush=True)
        else:
            say(facts.line(before))
        before = facts

    with signals.caught(), closing(Teller(say_aside)) as teller:
        running = Node(settings, faults=faults, say=teller)
        end = run_node(running, report, seconds=seconds, signals=signals)
    if as_json:
        print(json.dumps(end.plain()), flush=True)
    else:
        for line in end.summary():
            say(line)
    if running.failure:
        say_aside(f"stopped by an error: {running.failure}")
        raise typer.Exit(1)


@node.command("check")
@reported
def node_check(config: ConfigArg) -> None:
    """Try everything that a configuration names: cameras, bundle, gallery, files, broker, ports."""
    from runtime.node import read_settings
    from runtime.node.check import check_node

    problems = check_node(read_settings(config), lambda part: say(f"ok: {part}"))
    for problem in problems:
        err.print(f"[bold red]error:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(2)


def say_aside(text: str) -> None:
    """A line on standard error, as it is, from any thread."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def version(show: bool) -> None:
    """Print the version and stop."""
    if show:
        from denet import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train DENet, take it apart into 15 engines, run them in any missing state."""


if __name__ == "__main__":
    app()
