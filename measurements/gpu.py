"""Everything that only a GPU can show, in one report: parity of engines and states with the CPU,
time in every state, device memory, CUDA graphs against queueing, and a soak.

    python measurements/gpu.py model.denet --out docs/gpu-report.md

`make gpu` makes such a bundle first. Without a GPU, `--backends ort-cpu --soak 5` shows that the
script works.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from denet.errors import DenetError
from denet.graph import Modality, State
from export.tensorrt.build import build_engines
from export.tensorrt.reference import reference_runtime
from runtime import Bundle, Runtime
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.benchmark.inputs import opened, read_files
from runtime.composer import Composer
from runtime.cosine import row_cosines
from runtime.doctor import describe_diagnosis, diagnose

Inputs = list[dict[Modality, NDArray[np.float32]]]
Lines = Iterator[str]

SAMPLES = Path(__file__).resolve().parents[1] / "docs" / "samples"

LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9, "mixed": 0.9}
"""Of an embedding to that of its reference. The engines themselves are compared far more strictly;
a network that knows nothing makes much of a number that is rounded otherwise."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backends", default="tensorrt,ort-cuda")
    parser.add_argument("--precisions", default="fp32,fp16,int8")
    parser.add_argument("--soak", type=float, default=600.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    failures: list[str] = []
    lines = list(report(bundle, arguments, failures))
    verdict = "All checks passed." if not failures else "FAILED: " + "; ".join(failures)
    text = "\n".join(["# GPU report", "", verdict, "", *lines]) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failures else 0


def report(bundle: Bundle, arguments: argparse.Namespace, failures: list[str]) -> Lines:
    console = Console(width=100, file=StringIO(), record=True)
    console.print(describe_diagnosis(diagnose(bundle.root)))
    yield from ("```", *(line.rstrip() for line in console.export_text().splitlines()), "```", "")
    manifest = bundle.manifest
    yield f"`{bundle.root.name}`: {manifest.model['backbone']}, {manifest.channels} channels, "
    size = manifest.preprocessing
    yield f"{size.height}x{size.width}, {', '.join(manifest.variants)}."
    fp32 = Runtime.load(bundle, "ort-cpu", "fp32", preload=True)
    soaked = False
    for backend in arguments.backends.split(","):
        for precision in arguments.precisions.split(","):
            title = f"{backend}, {precision}"
            yield from ("", f"## {title}", "")
            try:
                if backend == "tensorrt":
                    yield from built(bundle, precision)
                with Runtime.load(bundle, backend, precision, check=True, preload=True) as runtime:
                    reference = fp32
                    if precision in ("int8", "mixed"):
                        reference = reference_runtime(bundle, precision, runtime.max_batch)
                    yield from parity(runtime, reference, title, failures)
                    if reference is not fp32:
                        yield from cost(runtime, fp32)
                    yield from times(runtime, arguments.rounds)
                    yield from graphs(runtime, arguments.rounds)
                    if not soaked:
                        soaked = True
                        yield from soak(runtime, reference, arguments.soak, title, failures)
            except DenetError as error:
                yield f"Not run: {error}"
                if backend == "tensorrt":
                    failures.append(f"{title} did not run")


def built(bundle: Bundle, precision: str) -> Lines:
    """Build what is not up to date; each engine is compared with its ONNX file by that."""
    made = build_engines(bundle, precision, BuildOptions(batch=(1, 8, 16)))
    if made.unchecked:
        yield f"Engines were not compared: {made.unchecked}"
        return
    yield "Each engine against its ONNX file on the CPU, least cosine:"
    yield ""
    for name, result in made.engines.items():
        yield f"- `{name}` {result.engine.facts.spec.form}: {result.engine.facts.cosine:.6f}"
    yield ""


def inputs(runtime: Runtime, states: Sequence[State], random: np.random.Generator) -> Inputs:
    """Images of people, each modality of whom chance says, mirrored or not.

    No noise: a network that knows nothing makes a hundred times larger values of noise than of the
    images that it was calibrated with, and half cannot hold them.
    """
    files = read_files(SAMPLES, runtime.graph)

    def image(modality: Modality) -> NDArray[np.float32]:
        one = files[random.integers(len(files))]
        made = np.empty(runtime.preprocess.shape, np.float32)
        runtime.preprocess(opened(one, [modality])[modality], modality, made)
        return made[:, :, ::-1].copy() if random.integers(2) else made

    return [{m: image(m) for m in state.available} for state in states]


def least_cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.min(row_cosines(found, expected)))


def embed(runtime: Runtime, samples: Inputs) -> NDArray[np.float32]:
    return runtime.head(runtime.composer.run_tensors(samples))


def parity(runtime: Runtime, reference: Runtime, title: str, failures: list[str]) -> Lines:
    """Every state, one at a time and mixed, queued and as a graph."""
    least = LEAST_COSINE[runtime.precision]
    against = f"the same {reference.variant} files" if reference.precision != "fp32" else "FP32"
    yield f"Embeddings against {against} on the CPU, least cosine ({least} is wanted):"
    yield ""
    for name, worst in least_cosines(runtime, reference):
        yield f"- {name}: {worst:.6f}"
        if not worst >= least:
            failures.append(f"{title}: {name} has a cosine of {worst:.6f}")
    yield ""


def cost(runtime: Runtime, fp32: Runtime) -> Lines:
    """Not of the backend but of the precision; `denet calibrate` measures it as mAP."""
    told = ", ".join(f"{name} {worst:.3f}" for name, worst in least_cosines(runtime, fp32))
    yield f"What the precision itself costs, least cosine to FP32: {told}."
    yield ""


def least_cosines(runtime: Runtime, reference: Runtime) -> Iterator[tuple[str, float]]:
    """Of each state and of a mixed batch, embedded queued, captured and replayed."""
    random = np.random.default_rng(0)
    every = runtime.graph.states
    cases: dict[str, list[State]] = {state.name: [state] * 4 for state in every}
    cases["mixed"] = [every[i % len(every)] for i in range(min(16, runtime.max_batch))]
    for name, states in cases.items():
        worst = 1.0
        for _ in range(3):
            samples = inputs(runtime, states, random)
            worst = min(worst, least_cosine(embed(runtime, samples), embed(reference, samples)))
        yield name, worst


def measured(run: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each run, after as many again as are needed to be warm."""
    for _ in range(max(5, rounds // 10)):
        run()
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        found.append((time.perf_counter() - began) * 1e3)
    return found


def times(runtime: Runtime, rounds: int) -> Lines:
    random = np.random.default_rng(1)
    memory = runtime.composer.backend.device_memory()
    if memory is not None:
        yield f"Device memory in use with all engines loaded, by anyone: {memory / 1e6:.0f} MB."
        yield ""
    yield "| state | p50 ms | p99 ms | max ms | batch 8, samples/s |"
    yield "|---|---|---|---|---|"
    for state in runtime.graph.states:
        one = inputs(runtime, [state], random)
        eight = inputs(runtime, [state] * min(8, runtime.max_batch), random)
        single = measured(partial(runtime.composer.run_tensors, one), rounds)
        batch = measured(partial(runtime.composer.run_tensors, eight), rounds // 2)
        p50, p99 = np.percentile(single, [50, 99])
        rate = len(eight) / statistics.median(batch) * 1e3
        yield f"| {state} | {p50:.3f} | {p99:.3f} | {max(single):.3f} | {rate:.0f} |"
    yield ""
    trace = runtime.composer.trace([runtime.graph.complete], lambda *to: np.copyto(to[2], 0.5))
    shares: dict[str, float] = {}
    for span in trace.spans:
        shares[span.kind] = shares.get(span.kind, 0.0) + (span.stop - span.start) * 1e3
    parts = ", ".join(f"{kind} {ms:.3f}" for kind, ms in shares.items())
    queued = "" if trace.enqueued is None else f", queued after {trace.enqueued * 1e3:.3f}"
    yield f"One traced run, complete: {trace.seconds * 1e3:.3f} ms{queued};"
    yield f"summed over streams: {parts}."
    yield ""


def graphs(runtime: Runtime, rounds: int) -> Lines:
    """The same engines, captured and queued, in turn."""
    backend = runtime.composer.backend
    if not isinstance(backend, TensorRTBackend):
        return
    if not backend.device.captures:
        yield "CUDA graphs: cuda-python is not installed."
        return
    random = np.random.default_rng(2)
    yield "| state | queued / graph, median of pairs |"
    yield "|---|---|"
    queued = Composer(backend, runtime.bundle.manifest)
    for state in runtime.graph.states:
        one = inputs(runtime, [state], random)
        for composer in (runtime.composer, queued):
            backend.device.captures = composer is runtime.composer
            for _ in range(5):
                composer.run_tensors(one)
        ratios = []
        for _ in range(rounds):
            pair = []
            for composer in (queued, runtime.composer):
                began = time.perf_counter()
                composer.run_tensors(one)
                pair.append(time.perf_counter() - began)
            ratios.append(pair[0] / pair[1])
        backend.device.captures = True
        yield f"| {state} | {statistics.median(ratios):.3f} |"
    yield ""


def soak(
    runtime: Runtime, reference: Runtime, seconds: float, title: str, failures: list[str]
) -> Lines:
    """Batches of random sizes and states; every hundredth is compared with the CPU."""
    random = np.random.default_rng(3)
    least = LEAST_COSINE[runtime.precision]
    images = inputs(runtime, [runtime.graph.complete] * runtime.max_batch, random)
    every = runtime.graph.states
    minutes: list[tuple[float, int | None]] = []
    taken: list[float] = []
    batches = samples_seen = compared = 0
    worst = 1.0
    until = time.monotonic() + seconds
    minute = time.monotonic() + min(60.0, seconds / 4)
    while time.monotonic() < until:
        count = random.integers(1, runtime.max_batch + 1)
        states = [every[i] for i in random.integers(0, len(every), count)]
        samples = [
            {m: image[m] for m in state.available}
            for state, image in zip(states, images[:count], strict=True)
        ]
        began = time.perf_counter()
        found = embed(runtime, samples)
        taken.append((time.perf_counter() - began) * 1e3)
        if not np.isfinite(found).all():
            failures.append(f"{title}: soak: not a number in batch {batches}")
            break
        if batches % 100 == 0:
            compared += 1
            worst = min(worst, least_cosine(found, embed(reference, samples)))
        batches += 1
        samples_seen += len(samples)
        if time.monotonic() >= minute:
            memory = runtime.composer.backend.device_memory()
            minutes.append((float(np.percentile(taken, 99)), memory))
            taken.clear()
            minute += min(60.0, seconds / 4)
    if not worst >= least:
        failures.append(f"{title}: soak: cosine {worst:.6f}")
    held = [memory for _, memory in minutes if memory is not None]
    # The first minute still meets new mixes of states, for which tables and graphs are made.
    if any(later > earlier * 1.02 for earlier, later in pairwise(held[1:])):
        failures.append(f"{title}: soak: device memory grows: {held}")
    yield (
        f"Soak of {seconds:.0f} s: {batches} batches, {samples_seen} samples, mixed states; "
        f"{compared} batches compared, least cosine {worst:.6f}."
    )
    yield ""
    yield "p99 ms of each interval: " + ", ".join(f"{p99:.1f}" for p99, _ in minutes)
    if held:
        yield ""
        yield "device MB at its end: " + ", ".join(f"{memory / 1e6:.0f}" for memory in held)


if __name__ == "__main__":
    sys.exit(main())
