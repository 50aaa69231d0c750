"""Options that several commands have: each is described once.

A command that is `grouped` takes options that belong together as one value, a dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from denet.graph import Modality

BundleArg = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")]
DataArg = Annotated[
    Path, typer.Argument(metavar="DATA", help="A data set: RGBNT201, RGBNT100 or alike.")
]
ImagesArg = Annotated[
    Path | None, typer.Argument(help="A folder with RGB/, NI/ and TI/; what lacks is missing.")
]
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
ThreadsOpt = Annotated[int | None, typer.Option(min=1, help="CPU threads (default: cores).")]
KeyOpt = Annotated[
    Path | None,
    typer.Option(metavar="PUB", help="Demand a bundle that is signed by this public key."),
]
BatchOpt = Annotated[int, typer.Option(min=1, help="Samples run at once, at most.")]
WorkersOpt = Annotated[
    int, typer.Option(min=0, help="Processes that load images, for a checkpoint.")
]
PresetOpt = Annotated[
    str | None,
    typer.Option(help="[b]paper[/b] (default), [b]strong[/b], or [b]small[/b] for a CPU."),
]
ConfigOpt = Annotated[
    Path | None, typer.Option(help=r"TOML with \[model], \[train], \[augment] to override it.")
]
WeightsOpt = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights to start the backbones from: .safetensors or .pth, of torchvision, timm or a "
        "re-ID toolbox; [b]package[/b] for those of an installed package.",
    ),
]
ModalitiesOpt = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What the model has, in the order in which an anchor is chosen: [b]rgb,nir,tir[/b] "
        "(the default), two of them, or one.",
    ),
]
RangesOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="MODALITY=BLACK:WHITE",
        help="Which values of images of more than 8 bits are black and white, as tir=7000:9000, "
        "where the sensor is another than the bundle was trained for.",
    ),
]
HeadOpt = Annotated[
    str | None, typer.Option(help="Which head of the configuration, where it has several.")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
JsonLinesOpt = Annotated[
    bool, typer.Option("--json", help="A line of JSON each second, for a program to read.")
]
DurationOpt = Annotated[
    float | None,
    typer.Option("--for", min=0, metavar="SECONDS", help="Stop after so many seconds."),
]


def _version(show: bool) -> None:
    if show:
        from denet import __version__

        print(__version__)
        raise typer.Exit


VersionOpt = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
]


@dataclass(frozen=True)
class RuntimeOptions:
    """On what a bundle runs."""

    backend: BackendOpt = "auto"
    precision: PrecisionOpt = "auto"
    threads: ThreadsOpt = None
    key: KeyOpt = None


def _image_option(seen: str) -> Any:
    return typer.Option(help=f"{seen} image of a single sample, instead of a folder.")


@dataclass(frozen=True)
class ImageOptions:
    """The images of a single sample; a modality that is not given is missing."""

    rgb: Annotated[Path | None, _image_option("Visible")] = None
    nir: Annotated[Path | None, _image_option("Near infrared")] = None
    tir: Annotated[Path | None, _image_option("Thermal")] = None

    @property
    def files(self) -> dict[Modality, Path | None]:
        """By modality."""
        return dict(vars(self))


def _recording_option(modality: str) -> Any:
    return typer.Option(
        metavar="RECORDING",
        help=f"{modality} recording: a video, or a folder with RGB/, NI/ and TI/.",
        rich_help_panel="Recordings",
    )


@dataclass(frozen=True)
class RecordingOptions:
    """The recordings of one place; a modality that is not given is missing."""

    rgb: Annotated[Path | None, _recording_option("Visible")] = None
    nir: Annotated[Path | None, _recording_option("Near infrared")] = None
    tir: Annotated[Path | None, _recording_option("Thermal")] = None

    @property
    def paths(self) -> dict[Modality, Path]:
        """By modality, of those that are given."""
        return {m: path for m, path in vars(self).items() if path is not None}


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take each of its parameters that is a dataclass as one value.

    The command line shows an option for each field, in its place among the parameters; so all
    parameters after the first group come by name.
    """
    # Not `get_type_hints`: where a default is None, Python 3.10 hides an annotation in an Optional.
    signature = inspect.signature(command, eval_str=True)
    hints = {each.name: each.annotation for each in signature.parameters.values()}
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in groups:
            parameters += _parameters(groups[parameter.name])
        else:
            named = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters.append(named.replace(annotation=hints[parameter.name]))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    # What typer reads.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameters(group: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(group, eval_str=True).parameters.values()
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
