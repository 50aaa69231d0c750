"""Built TensorRT engines beside a bundle: what is known of each, and which may be loaded here.

    NAME.denet/trt/<machine>/<form>/<engine>.engine    the engine
    NAME.denet/trt/<machine>/<form>/<engine>.json      its facts

They are no part of the bundle: its manifest does not list them, and any of them can be built
again. An engine is taken only with its facts beside it, and only if these say that it is what is
wanted: of this ONNX file, for this machine, with this content; and if they are to be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from denet.errors import DenetError
from denet.graph import MAX_TARGETS
from denet.reading import read_file, reading
from runtime.backends.tensorrt.machine import BuildMachine, BuildOptions, why_foreign
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form, Forms
from runtime.bundle.manifest import BUILT, Engine, Sha256

FACTS = 1 << 20
"""Bytes that the facts of an engine may have."""

Shape = tuple[int, ...]

Profile = dict[str, tuple[Shape, Shape, Shape]]
"""The least, typical and largest shape of each input."""


class EngineFileError(DenetError):
    """A built engine that must not be used; the message names the file and the reason."""


class AbsentError(EngineFileError):
    """There is no such engine."""


class Layers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Layers of the network that was built: all, and the convolutions and matrix products by the
    type that they multiply in."""

    all: int
    int8: int
    fp16: int
    fp32: int


class BuildSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an engine is built from, for and how. Another engine is wanted where any of it differs.

    Attributes:
        engine: its name.
        form: its precision.
        source_sha256: of its ONNX file.
        machine: the machine that it is for.
        profile: the shapes that it takes.
        options: of the builder.
    """

    engine: str
    form: Form
    source_sha256: Sha256
    machine: BuildMachine = msgspec.field(name="target")
    profile: Profile
    options: BuildOptions


class EngineFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the JSON file beside an engine says.

    Attributes:
        spec: what it was built from, for and how.
        sha256: of the engine.
        bytes: its size.
        layers: the precision that was delivered.
        seconds: that building took.
        tools: the version of denet that did it.
        cosine: of its outputs to those of its ONNX file, the least; None where it was not run.
        code: by which the machine that built it knows it as its own; see `trust`.
    """

    format: Literal["denet-engine"] = "denet-engine"
    schema: Literal[1] = 1
    spec: BuildSpec
    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    layers: Layers
    seconds: float
    tools: dict[str, str]
    cosine: float | None = None
    code: str = ""


@dataclass(frozen=True)
class BuiltEngine:
    """An engine on disk with its facts."""

    path: Path
    facts: EngineFacts

    def read(self) -> bytes:
        """The engine, hashed at this moment.

        Raises:
            EngineFileError: it cannot be read, or is not what its facts say.
        """
        content = read_file(self.path, EngineFileError, self.facts.bytes)
        if hashlib.sha256(content).hexdigest() != self.facts.sha256:
            raise EngineFileError(f"{self.path}: damaged: its sha256 is not the one in its facts")
        return content


@dataclass(frozen=True)
class Found:
    """The engines that may be loaded here, and for each other one the reason why not."""

    engines: dict[str, BuiltEngine]
    missing: dict[str, str]


def engine_path(root: Path, machine: BuildMachine, form: Form, engine: str) -> Path:
    """Where an engine of the bundle at `root` is kept."""
    return root / BUILT / machine.name / form / f"{engine}.engine"


def facts_path(engine: Path) -> Path:
    """The facts of the engine at that path."""
    return engine.with_suffix(".json")


def open_engine(path: Path) -> BuiltEngine:
    """The engine at `path`, if it is whole: it has facts, and the size that they say.

    Raises:
        AbsentError: it is not there, or it has no facts: it was never finished.
        EngineFileError: its facts cannot be read or are not of this engine, or it is cut off.
    """
    facts_file = facts_path(path)
    if not path.is_file() or not facts_file.is_file():
        raise AbsentError(f"{path}: not built")
    content = read_file(facts_file, EngineFileError, FACTS)
    with reading(facts_file, EngineFileError, "not the facts of an engine"):
        facts = msgspec.json.decode(content, type=EngineFacts)
    with reading(path, EngineFileError):
        size = path.stat().st_size
    if (facts.spec.form, facts.spec.engine) != (path.parent.name, path.stem):
        raise EngineFileError(f"{path}: is {facts.spec.engine} in {facts.spec.form}")
    if size != facts.bytes:
        raise EngineFileError(f"{path}: damaged: {size} bytes instead of {facts.bytes}")
    return BuiltEngine(path, facts)


def why_stale(facts: EngineFacts, wanted: BuildSpec) -> str | None:
    """In what an engine differs from the one that is wanted; None where in nothing."""
    return next(_differences(facts.spec, wanted), None)


def _differences(built: BuildSpec, wanted: BuildSpec) -> Iterator[str]:
    if built.source_sha256 != wanted.source_sha256:
        yield "it was built from another ONNX file"
    if built.machine != wanted.machine:
        foreign = why_foreign(built.machine, BuildOptions(), wanted.machine)
        yield foreign or f"it was built with TensorRT {built.machine.tensorrt}"
    for name in BuildOptions.__struct_fields__:
        old, new = getattr(built.options, name), getattr(wanted.options, name)
        if old != new:
            yield f"it was built with {_option(name, old)}, not {_option(name, new)}"
    if built.profile != wanted.profile:
        yield "it was built for other shapes"


def _option(name: str, value: object) -> str:
    shown = ":".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
    return f"{name.replace('_', '-')} {shown}"


def profile_of(engine: Engine, batch: tuple[int, int, int]) -> Profile:
    """The shapes of an engine's inputs for these batches; an edge takes 1 to `MAX_TARGETS` target
    vectors, and is tuned for the most: so it runs when no modality is missing."""

    def shapes(dimensions: tuple[int | str, ...]) -> tuple[Shape, Shape, Shape]:
        targets = (1, MAX_TARGETS, MAX_TARGETS)
        least, typical, most = (
            tuple(d if isinstance(d, int) else {"B": rows, "T": count}[d] for d in dimensions)
            for rows, count in zip(batch, targets, strict=True)
        )
        return least, typical, most

    return {tensor.name: shapes(tensor.shape) for tensor in engine.inputs}


def find_engines(
    bundle: Bundle,
    here: BuildMachine,
    forms: Forms,
    trusted: Callable[[EngineFacts], bool],
) -> Found:
    """The built engines of `bundle` that the machine `here` may load.

    An engine built for this machine is preferred; one that was built to be compatible elsewhere
    will do. Profiles and options are not compared: what shapes an engine takes is in its facts.
    Contents are not hashed here, but by `BuiltEngine.read`.

    Args:
        bundle: whose engines are wanted.
        here: this machine.
        forms: the form wanted of each engine.
        trusted: whether an engine with such facts may be loaded (`trust.trusted_by`).
    """
    found, command = Found({}, {}), f"denet build {bundle.root}"
    for name, form in forms.items():
        source = bundle.manifest.engines[name].files.get(form)
        try:
            if source is None:
                raise AbsentError(f"{bundle.root}: has no {form} of {name}")
            found.engines[name] = find_engine(
                bundle.root, here, name, form, source.sha256, trusted, command
            )
        except EngineFileError as error:
            found.missing[name] = str(error)
    return found


def find_engine(
    root: Path,
    here: BuildMachine,
    name: str,
    form: Form,
    source_sha256: str,
    trusted: Callable[[EngineFacts], bool],
    command: str,
) -> BuiltEngine:
    """The built engine called `name` beside the bundle at `root` that `here` may load.

    Args:
        root: of the bundle.
        here: this machine.
        name: of the engine.
        form: of it.
        source_sha256: of the ONNX file that it has to be built from.
        trusted: whether an engine with such facts may be loaded.
        command: what builds it, for messages.

    Raises:
        EngineFileError: there is none; says why not.
    """
    own = engine_path(root, here, form, name)
    others = sorted((root / BUILT).glob(f"*/{form}/{name}.engine"))
    refused: list[EngineFileError] = []
    for path in (own, *(other for other in others if other != own)):
        try:
            built = open_engine(path)
            spec = built.facts.spec
            reason = why_foreign(spec.machine, spec.options, here)
            if reason is None and spec.source_sha256 != source_sha256:
                reason = "it was built from another ONNX file"
            if reason is None and not trusted(built.facts):
                reason = "it was not built on this machine, and an engine is a program"
            if reason is not None:
                raise EngineFileError(f"{path}: {reason}: run `{command}`")
        except EngineFileError as error:
            refused.append(error)
        else:
            return built
    # What is known of an engine in its own place tells more than that others are foreign, and
    # these more than that its own place is empty.
    telling = (error for error in refused if not isinstance(error, AbsentError))
    raise next(telling, AbsentError(f"{own}: not built for this machine: run `{command}`"))
