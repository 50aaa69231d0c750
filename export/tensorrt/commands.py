"""`denet build`: TensorRT engines of a bundle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from denet.console import out, print_json, progress, reported, say
from denet.options import BundleArg, JsonOpt, grouped

if TYPE_CHECKING:
    from export.tensorrt.keeping import Result
    from runtime.backends.tensorrt.machine import BuildOptions

PANEL = "TensorRT"
DETECTORS = "Detectors of a node"


@dataclass(frozen=True)
class DetectorFiles:
    """The detectors that are built beside a bundle.

    Attributes:
        paths: their ONNX files.
        size: (width, height) of their input, where they leave it open.
    """

    paths: tuple[Path, ...] = ()
    size: tuple[int, int] | None = None


NO_DETECTORS = DetectorFiles()


@dataclass(frozen=True)
class BuilderOptions:
    """What TensorRT's builder is told, as the user wrote it."""

    profile: Annotated[
        str,
        typer.Option(
            "--batch",
            metavar="MIN:OPT:MAX",
            help="Batches the engines take, and the one they are tuned for.",
            rich_help_panel=PANEL,
        ),
    ] = "1:1:16"
    opt_level: Annotated[
        int,
        typer.Option(
            min=0, max=5, help="Length of the search for fast kernels.", rich_help_panel=PANEL
        ),
    ] = 3
    workspace: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MIB",
            help="Scratch memory a kernel may take (default: all).",
            rich_help_panel=PANEL,
        ),
    ] = None
    tf32: Annotated[
        bool,
        typer.Option(
            "--tf32", help="Let FP32 products use TF32: faster, less exact.", rich_help_panel=PANEL
        ),
    ] = False
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="Engines for later TensorRT releases, too.",
            rich_help_panel=PANEL,
        ),
    ] = False
    hardware_compatible: Annotated[
        bool,
        typer.Option(
            "--hardware-compatible",
            help="Engines for other Ampere or later GPUs, too; not on a Jetson.",
            rich_help_panel=PANEL,
        ),
    ] = False

    def parsed(self) -> BuildOptions:
        """The same, read. Raises: BuildError: the profile is none."""
        from export.tensorrt.build import parse_options

        return parse_options(
            self.profile,
            self.opt_level,
            self.workspace,
            self.tf32,
            self.version_compatible,
            self.hardware_compatible,
        )


class AddFp16(Protocol):
    """Adds FP16 engines to a bundle that lacks them, and says so where that is to be `shown`."""

    def __call__(self, bundle: Path, *, shown: bool) -> None: ...


def build_command(*, add_fp16: AddFp16) -> Callable[..., None]:
    """`denet build`.

    Args:
        add_fp16: for a bundle that is to be built in FP16 and does not have it.
    """

    @reported(extra="calibrate")
    @grouped
    def build(
        bundle: BundleArg,
        precision: Annotated[
            str,
            typer.Option(
                help="[b]auto[/b] (the bundle's default), [b]fp32[/b], [b]fp16[/b] (added where "
                "the bundle lacks it), [b]int8[/b] or [b]mixed[/b]."
            ),
        ] = "auto",
        no_rebuild: Annotated[
            bool, typer.Option("--no-rebuild", help="Refuse where an engine is stale.")
        ] = False,
        *,
        builder: BuilderOptions,
        detectors: Annotated[
            list[Path] | None,
            typer.Option(
                "--detector",
                metavar="FILE",
                help="ONNX file of a node's detector, built beside; may be given again.",
                rich_help_panel=DETECTORS,
            ),
        ] = None,
        detector_size: Annotated[
            str | None,
            typer.Option(
                metavar="WxH",
                help="Pixels of its input, where a model leaves that open (default: 640x640).",
                rich_help_panel=DETECTORS,
            ),
        ] = None,
        as_json: JsonOpt = False,
    ) -> None:
        """Build TensorRT engines of a bundle, for this machine's GPU."""
        from export.tensorrt.build import check_machine
        from runtime.bundle.bundle import Bundle

        options = builder.parsed()
        found = DetectorFiles(tuple(detectors or ()), parsed_size(detector_size, detectors))
        if precision == "fp16" and Bundle.open(bundle).manifest.forms("fp16", "trt") is None:
            check_machine(options)  # before the bundle is changed
            add_fp16(bundle, shown=not as_json)
        run_build(bundle, precision, options, found, rebuild=not no_rebuild, as_json=as_json)

    return build


def parsed_size(text: str | None, detectors: list[Path] | None) -> tuple[int, int] | None:
    """(width, height) of "640x384"; None where nothing was written.

    Raises:
        BuildError: it is no such size, or of no detector.
    """
    from export.tensorrt.request import BuildError
    from runtime.node.boxes.detector.settings import LARGEST, SMALLEST

    if text is None:
        return None
    if not detectors:
        raise BuildError("--detector-size: needs --detector")
    match = re.fullmatch(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})", text)
    size = match and (int(match[1]), int(match[2]))
    if not size or not all(SMALLEST <= side <= LARGEST for side in size):
        raise BuildError(
            f"--detector-size {text}: give WIDTHxHEIGHT of {SMALLEST} to {LARGEST} pixels, such as "
            "640x384"
        )
    return size


def run_build(
    bundle: Path,
    precision: str,
    options: BuildOptions,
    detectors: DetectorFiles = NO_DETECTORS,
    *,
    rebuild: bool = True,
    as_json: bool = False,
) -> None:
    """Build TensorRT engines with a progress bar, and say what came of it."""
    from export.tensorrt.build import build_engines
    from export.tensorrt.detector import build_detector
    from export.tensorrt.report import build_facts, build_notes, build_table
    from runtime.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    beside: dict[Path, Result] = {}
    for path in detectors.paths:
        with progress(f"building {path.name}", 1) as notify:
            beside[path] = build_detector(
                opened, path, detectors.size, options, rebuild=rebuild, notify=notify
            )
    with progress("building", len(opened.manifest.engines)) as notify:
        made = build_engines(opened, precision, options, rebuild=rebuild, notify=notify)
    if as_json:
        print_json(build_facts(made, beside))
        return
    out.print(build_table(made, beside))
    for note in build_notes(made, beside):
        say(note)
