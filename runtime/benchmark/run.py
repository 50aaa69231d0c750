"""The whole benchmark of a bundle: what is measured, in which order, put together as a report."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from denet import __version__
from runtime.benchmark import result
from runtime.benchmark.assemble import noise_notes
from runtime.benchmark.errors import BenchmarkError
from runtime.benchmark.images import image_cost
from runtime.benchmark.inputs import drawn_files, network_inputs, read_files
from runtime.benchmark.limits import check_onnx
from runtime.benchmark.monolith import BATCHES, find_monoliths
from runtime.benchmark.request import PARTS, BenchmarkRequest, Part
from runtime.benchmark.sections import (
    Fields,
    Workload,
    measure_batches,
    measure_dropouts,
    measure_end_to_end,
    measure_limits,
    measure_monoliths,
    measure_starts,
    measure_states,
    measure_stream,
)
from runtime.benchmark.stream import BATCH, SAMPLES
from runtime.benchmark.turns import Clock, Notify
from runtime.benchmark.watch import Watch
from runtime.bundle.bundle import Bundle
from runtime.machine import Machine
from runtime.runtime import Runtime

Find = dict[str, dict[str, Any]]


def bench(
    bundle: Bundle | Path | str,
    request: BenchmarkRequest,
    *,
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
) -> result.BenchmarkReport:
    """Measure a bundle on this machine.

    Args:
        bundle: the bundle, or the path of its directory.
        request: what to measure.
        clock: seconds; what fresh processes take, their own clock tells.
        notify: told what is being done.

    Raises:
        BenchmarkError: something that was asked for by name cannot be measured.
        BundleError, BackendError, CanaryError: the bundle, or a backend or precision, cannot be
            used.
        SampleError, ImageError: the images cannot be used.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    size = opened.manifest.preprocessing
    graphs = None if request.monoliths is None else find_monoliths(request.monoliths, opened.graph)
    files = (
        read_files(request.images, opened.graph)
        if request.images
        else [drawn_files(size, request.seed)]
    )
    notes: list[str] = []
    parts = _possible(request, notes)
    watch = Watch()
    with ExitStack() as stack:
        notify("loading")
        most = max(*request.batches, *BATCHES, BATCH)
        runtimes = _load(opened, request, most, stack)
        samples = network_inputs(size, most, request.seed)
        work = Workload(opened, request, runtimes, samples, files, clock, notify, notes)
        found: Find = {name: {} for name in runtimes}

        def add(fields: Fields) -> None:
            for name, mine in fields.items():
                found[name] |= mine
            watch.look()

        threads = _threads(request, watch.machine)
        roofs = measure_limits(work, threads) if "limits" in parts else {}
        if {"states", "limits"} & set(parts):
            add(measure_states(work, roofs, energy=bool(watch.machine.watts)))
        if "batches" in parts:
            add(measure_batches(work))
        if graphs is not None:
            add(measure_monoliths(work, graphs))
        if "stream" in parts:
            add(measure_stream(work))
        images = None
        if "images" in parts:
            first = next(iter(runtimes.values()))
            ranges = {m: n.range16 for m, n in size.modalities.items()}
            images = image_cost(first.preprocess, files, ranges, request.rounds, clock, notify)
            add(measure_end_to_end(work))
        if "dropout" in parts:
            add(measure_dropouts(work))
        if "start" in parts:
            add(measure_starts(work))
        variants = {name: _variant(runtimes[name], fields) for name, fields in found.items()}
    return result.BenchmarkReport(
        format="denet-benchmark",
        schema=1,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        bundle=measured(opened),
        settings=_settings(request, parts),
        machine=watch.snapshot(),
        variants=variants,
        images=images,
        roofs=roofs,
        notes=tuple(filter(None, (watch.busy(), *noise_notes(variants), *notes))),
    )


def _possible(request: BenchmarkRequest, notes: list[str]) -> tuple[Part, ...]:
    """The parts to measure: all that are asked for by name, or all that can be had here.

    Raises:
        BenchmarkError: one that is asked for cannot be had.
    """
    parts = request.parts or PARTS
    if "limits" in parts:
        try:
            check_onnx()
        except BenchmarkError as error:
            if request.parts is not None:
                raise
            notes.append(str(error))
            parts = tuple(part for part in parts if part != "limits")
    if "stream" in parts and len(request.stream) < SAMPLES:
        raise ValueError(f"a stream needs {SAMPLES} states, not {len(request.stream)}")
    return parts


def _load(
    bundle: Bundle, request: BenchmarkRequest, most: int, stack: ExitStack
) -> dict[str, Runtime]:
    """Every backend in every precision, by name, every state prepared, for at most `most` samples
    at once."""
    runtimes: dict[str, Runtime] = {}
    for backend in request.backends:
        for precision in request.precisions:
            runtime = stack.enter_context(
                Runtime.load(bundle, backend, precision, threads=request.threads, max_batch=most)
            )
            name = f"{runtime.backend} {runtime.variant}"
            if name in runtimes:
                raise BenchmarkError(
                    f"--backend {backend} --precision {precision} is {name} here, which is "
                    "measured already: name each once"
                )
            runtime.prepare(runtime.graph.states)
            runtime.check()  # how fast something wrong is says nothing
            runtimes[name] = runtime
    return runtimes


def _threads(request: BenchmarkRequest, machine: Machine) -> int:
    """As many as the runtime uses."""
    return request.threads or machine.cpu.runtime_threads


def _variant(runtime: Runtime, fields: dict[str, Any]) -> result.Variant:
    engines = runtime.bundle.manifest.engines
    files = {f.path: f.bytes for f in (engines[e].files[form] for e, form in runtime.forms.items())}
    return result.Variant(
        backend=runtime.backend,
        precision=runtime.variant,
        reason=runtime.reason,
        bytes=sum(files.values()),
        **fields,
    )


def measured(bundle: Bundle) -> result.Measured:
    """What a report says of the bundle that it is of."""
    manifest = bundle.manifest
    return result.Measured(
        path=str(bundle.root),
        bytes=sum({file.path: file.bytes for file in manifest.files()}.values()),
        checkpoint_sha256=manifest.checkpoint_sha256,
        backbone=str(manifest.model.get("backbone")),
        height=manifest.preprocessing.height,
        width=manifest.preprocessing.width,
        dim=manifest.head.dim,
    )


def _settings(request: BenchmarkRequest, parts: tuple[Part, ...]) -> result.Settings:
    return result.Settings(
        parts=parts,
        threads=request.threads,
        rounds=request.rounds,
        batches=request.batches,
        missing_rate=request.missing_rate,
        seed=request.seed,
        repeats=request.repeats,
        images="drawn" if request.images is None else str(request.images),
    )
