"""From a bundle's ONNX files to TensorRT engines for this machine; needs neither torch nor onnx.

Engines are built one at a time, each in a process of its own, and kept as soon as they are done,
so a build that was broken off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from denet.errors import DenetError
from denet.files import written_whole
from denet.outputs import SIZE, check_place
from denet.temporary import settle_within
from export.tensorrt.check import check_engines
from export.tensorrt.facts import build_engine, write_facts
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, parse_batch
from runtime.backends.choose import runnable_forms, wanted_precisions
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import (
    AbsentError,
    BuildSpec,
    BuiltEngine,
    EngineFileError,
    engine_path,
    facts_path,
    open_engine,
    profile_of,
    why_stale,
)
from runtime.backends.tensorrt.machine import (
    AMPERE,
    BuildMachine,
    BuildOptions,
    load_tensorrt,
    this_machine,
)
from runtime.backends.tensorrt.trust import built_here, with_code
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PRECISIONS, Form, Forms, Precision, cpu_platforms
from runtime.bundle.manifest import BUILT

try:
    import fcntl
except ImportError:  # Windows; there, nobody is kept from building twice at once
    fcntl = None  # type: ignore[assignment]

TIMING_CACHE = "timing.cache"
LOCK = ".lock"

Notify = Callable[[str, float, int], None]
"""(what is done, how many engines are, of how many)."""


@dataclass(frozen=True)
class Result:
    """One engine: as it is on disk, and whether it was built now or was up to date."""

    engine: BuiltEngine
    built: bool


@dataclass(frozen=True)
class Build:
    """What a build came to.

    Attributes:
        bundle: whose engines they are.
        machine: that they are for.
        asked: the precision asked for.
        precision: that was built: the same, or what "auto" came to.
        folder: where they are.
        engines: by name.
        unchecked: why the engines were not run to compare them; None if they were.
    """

    bundle: Bundle
    machine: BuildMachine
    asked: str
    precision: Precision
    folder: Path
    engines: dict[str, Result]
    unchecked: str | None


def parse_options(
    batch: str,
    opt_level: int,
    workspace: int | None,
    tf32: bool,
    version_compatible: bool,
    hardware_compatible: bool,
) -> BuildOptions:
    """Options from what a user wrote.

    Raises:
        BuildError: `batch` is not "1:4:16" or alike.
    """
    return BuildOptions(
        batch=parse_batch(batch),
        opt_level=opt_level,
        workspace=workspace,
        tf32=tf32,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
    )


def check_unused(options: BuildOptions) -> None:
    """See that no option was given to an export that builds nothing.

    Raises:
        BuildError: one was.
    """
    if options != BuildOptions():
        raise BuildError("the options of TensorRT's builder need --trt")


def calibration_platforms(asked: str | None, precision: str) -> str:
    """What INT8 is calibrated for where TensorRT engines are built next: by default, this CPU and
    TensorRT.

    Raises:
        BuildError: TensorRT is left out of what was `asked` for, and `precision` needs it.
    """
    if asked is None:
        return f"{cpu_platforms()[0]},trt"
    if precision in ("auto", "int8") and "trt" not in asked.split(","):
        raise BuildError(f"--target {asked}: add trt, for --trt builds what was made for TensorRT")
    return asked


def check_machine(options: BuildOptions) -> BuildMachine:
    """This machine, seen to be one that can build with `options`.

    Raises:
        TensorRTMissingError: it has no TensorRT.
        BuildError: its GPU or its TensorRT cannot do what the options ask for.
    """
    trt = load_tensorrt()
    machine = this_machine(trt)
    if options.version_compatible and not hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"):
        raise BuildError(f"--version-compatible: {machine.backend} cannot build such engines")
    if options.hardware_compatible:
        levels = getattr(trt, "HardwareCompatibilityLevel", None)
        if not hasattr(levels, "AMPERE_PLUS"):
            raise BuildError(f"--hardware-compatible: {machine.backend} cannot build such engines")
        if machine.integrated:
            raise BuildError(
                f"--hardware-compatible: not on {machine.gpu}: TensorRT has it for GPUs with "
                "memory of their own, not for a Jetson's"
            )
        if machine.compute_capability is not None and machine.compute_capability < AMPERE:
            raise BuildError(
                f"--hardware-compatible: not on {machine.gpu}: TensorRT has it from compute "
                "capability 8.0 on"
            )
    return machine


def choose_forms(bundle: Bundle, precision: str) -> tuple[Precision, Forms]:
    """The form of each engine for TensorRT in `precision`.

    "auto" is the bundle's default, or FP32 where that was made for other hardware only.

    Raises:
        BuildError: there is no such precision, or the bundle does not have it for TensorRT.
    """
    if precision not in (*PRECISIONS, "auto"):
        raise BuildError(
            f"unknown precision {precision!r}: choose from auto, {', '.join(PRECISIONS)}"
        )
    manifest = bundle.manifest
    if found := runnable_forms(manifest, precision, ("trt",)):
        chosen, _, forms = found[0]
        return chosen, forms
    here = [p for p in PRECISIONS if manifest.forms(p, "trt") is not None]
    raise BuildError(
        f"{bundle.root}: has no {' or '.join(wanted_precisions(manifest, precision))} for "
        f"TensorRT, only {', '.join(here) or 'what other hardware runs'}: make it with `denet "
        f"calibrate {bundle.root} DATA --target trt`"
    )


def _open_device() -> Device:
    from runtime.backends.tensorrt.cuda import CudaDevice

    return CudaDevice()


def build_engines(
    bundle: Bundle,
    precision: str,
    options: BuildOptions,
    *,
    rebuild: bool = True,
    notify: Notify = lambda *_: None,
    open_device: Callable[[], Device] = _open_device,
) -> Build:
    """Build the engines of `bundle` for this machine, those that are not up to date; and where it
    can run them, compare each with its ONNX file.

    Args:
        bundle: with ONNX files.
        precision: "auto", or one that the bundle has for TensorRT.
        options: of TensorRT's builder.
        rebuild: build an engine again that is there but stale; else that is an error, and
            nothing is built. Engines that are not there are built in any case.
        notify: told how far it is.
        open_device: makes the device to run them on.

    Raises:
        TensorRTMissingError: there is no TensorRT here.
        BuildError: an engine cannot be built, is not in the precision asked for, is stale and not
            to be rebuilt, or computes something else than its ONNX file. The others are kept.
    """
    machine = check_machine(options)
    chosen, forms = choose_forms(bundle, precision)
    folder = bundle.root / BUILT / machine.name
    try:
        with _alone(folder):
            settle_within(folder)  # what builds left that were killed
            specs = [_spec(bundle, name, form, machine, options) for name, form in forms.items()]
            known = {spec.engine: _up_to_date(bundle, spec, rebuild) for spec in specs}
            _check_place(bundle, folder, [spec for spec in specs if known[spec.engine] is None])
            engines: dict[str, Result] = {}
            for number, spec in enumerate(specs):
                what = f"{spec.engine} {spec.form}"
                notify(what, number, len(specs))
                engine = known[spec.engine]
                if engine is None:
                    built = _build(bundle, spec, folder, _within(notify, what, number, len(specs)))
                    engines[spec.engine] = Result(built, built=True)
                else:
                    engines[spec.engine] = Result(engine, built=False)
            unchecked = _check(bundle, machine, engines, open_device, notify)
            notify("done", len(specs), len(specs))
    except OSError as error:
        raise BuildError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return Build(bundle, machine, precision, chosen, folder, engines, unchecked)


def _check_place(bundle: Bundle, folder: Path, missing: list[BuildSpec]) -> None:
    """See that these engines can be written, before an hour of building."""
    engines = bundle.manifest.engines
    sizes = (engines[spec.engine].files[spec.form].bytes for spec in missing)
    check_place(folder / "engine", BuildError, size=max(SIZE, sum(sizes) // 2))


def _check(
    bundle: Bundle,
    machine: BuildMachine,
    engines: dict[str, Result],
    open_device: Callable[[], Device],
    notify: Notify,
) -> str | None:
    """Run the engines and note in their facts how near they come to their ONNX files; why that was
    not done, if so.

    Raises:
        BuildError: one does not come near; it is no longer taken for built.
    """
    if machine.gpu is None:
        return "there is no GPU here"
    if all(result.engine.facts.cosine is not None for result in engines.values()):
        return None
    try:
        device = open_device()
    except DenetError as error:
        return str(error)
    built = {name: result.engine for name, result in engines.items()}
    count = len(built)
    found = check_engines(
        bundle, built, lambda: device, lambda name: notify(f"{name}: comparing", count, count)
    )
    for name, checked in found.items():
        engine = built[name]
        if not checked.good:
            facts_path(engine.path).unlink()
            raise BuildError(
                f"{engine.path}: was built, and does not compute what its ONNX file does: cosine "
                f"{checked.cosine:.5f}, at least {checked.least} is wanted: it will not be used. "
                "Try another --opt-level"
            )
        facts = with_code(msgspec.structs.replace(engine.facts, cosine=round(checked.cosine, 7)))
        with written_whole(facts_path(engine.path)) as temporary:
            write_facts(temporary.parent, temporary.name, facts)
        engines[name] = Result(BuiltEngine(engine.path, facts), engines[name].built)
    return None


def _spec(
    bundle: Bundle, engine: str, form: Form, machine: BuildMachine, options: BuildOptions
) -> BuildSpec:
    entry = bundle.manifest.engines[engine]
    return BuildSpec(
        engine=engine,
        form=form,
        source_sha256=entry.files[form].sha256,
        machine=machine,
        profile=profile_of(entry, options.batch),
        options=options,
    )


def _up_to_date(bundle: Bundle, spec: BuildSpec, rebuild: bool) -> BuiltEngine | None:
    """The engine on disk, if it is what `spec` wants; None if it is to be built.

    Raises:
        BuildError: it is another one, and may not be replaced.
    """
    path = engine_path(bundle.root, spec.machine, spec.form, spec.engine)
    try:
        engine = open_engine(path)
        reason = why_stale(engine.facts, spec)
        if reason is None and not built_here()(engine.facts):
            reason = "it was not built on this machine"
        if reason is None:
            engine.read()
            return engine
        stale = f"{path}: stale: {reason}"
    except AbsentError:
        return None
    except EngineFileError as error:
        stale = str(error)
    if not rebuild:
        raise BuildError(f"{stale}; nothing was built: leave out --no-rebuild to replace it")
    return None


def _within(notify: Notify, what: str, number: int, total: int) -> Callable[[BuildProgress], None]:
    return lambda at: notify(f"{what}: {at.phase}", number + at.done, total)


def _build(
    bundle: Bundle, spec: BuildSpec, folder: Path, notify: Callable[[BuildProgress], None]
) -> BuiltEngine:
    """Build an engine and put it in its place: first the engine, then its facts. Whatever happens
    between, the old facts are not of the new engine."""
    path = engine_path(bundle.root, spec.machine, spec.form, spec.engine)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(facts_path(path)) as facts_temporary:
        with written_whole(path) as temporary:
            request = BuildRequest(
                bundle=str(bundle.root),
                spec=spec,
                output=str(temporary),
                timing_cache=str(folder / TIMING_CACHE),
            )
            try:
                facts = build_engine(request, notify)
            except BuildError as error:
                where = f"{bundle.root}: {spec.engine} ({spec.form})"
                raise BuildError(f"{where}: not built: {error}") from None
        facts = with_code(facts)
        write_facts(facts_temporary.parent, facts_temporary.name, facts)
    return BuiltEngine(path, facts)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make `folder`, and let no other process build into it meanwhile.

    Raises:
        BuildError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BuildError(f"{folder}: another `denet build` is at work there") from None
        yield
