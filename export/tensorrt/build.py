"""From a bundle's ONNX files to TensorRT engines for this machine; needs neither torch nor onnx.

Engines are built one at a time, each in a process of its own, and kept as soon as they are done,
so a build that was broken off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from denet.errors import DenetError
from denet.outputs import SIZE, check_place
from export.tensorrt.check import check_engines
from export.tensorrt.keeping import (
    Notify,
    Result,
    alone,
    build_in_place,
    judged,
    up_to_date,
    within,
)
from export.tensorrt.request import BuildError, parse_batch
from runtime.backends.choose import runnable_forms, wanted_precisions
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import BuildSpec, profile_of
from runtime.backends.tensorrt.machine import (
    AMPERE,
    BuildMachine,
    BuildOptions,
    load_tensorrt,
    this_machine,
)
from runtime.backends.tensorrt.opening import open_gpu
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PRECISIONS, Form, Forms, Precision, cpu_platforms
from runtime.bundle.manifest import BUILT


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


def build_engines(
    bundle: Bundle,
    precision: str,
    options: BuildOptions,
    *,
    rebuild: bool = True,
    notify: Notify = lambda *_: None,
    open_device: Callable[[], Device] = open_gpu,
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
        with alone(folder):
            specs = [_spec(bundle, name, form, machine, options) for name, form in forms.items()]
            known = {spec.engine: up_to_date(bundle.root, spec, rebuild) for spec in specs}
            _check_place(bundle, folder, [spec for spec in specs if known[spec.engine] is None])
            engines: dict[str, Result] = {}
            for number, spec in enumerate(specs):
                what = f"{spec.engine} {spec.form}"
                notify(what, number, len(specs))
                engine = known[spec.engine]
                built = engine or build_in_place(
                    bundle.root,
                    spec,
                    f"{bundle.root}: {spec.engine} ({spec.form})",
                    within(notify, what, number, len(specs)),
                )
                engines[spec.engine] = Result(built, built=engine is None)
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
        engines[name] = judged(engines[name], checked)
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
