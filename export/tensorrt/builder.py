"""The process that builds one TensorRT engine: a request on standard input, events on its output.

A process of its own, because what a build takes of a Jetson's memory is only given back when the
process ends, and because a crash inside TensorRT is then an error like any other. `main` is
called by `export.tensorrt.build`. The API used is that of TensorRT 10.3 and of 11.4.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import tensorrt as trt

from denet.errors import DenetError
from denet.files import written_whole
from denet.reading import read_file
from export.tensorrt.proof import check_signature, count_layers, products, prove_precision
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, Built, Event, Failed
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Engine

STEP = 0.01
"""How much more must be done to be worth a message."""

LARGEST = 1 << 31
"""Bytes that an ONNX file with its weights inside may have."""

SHOWN = 2
"""So many of TensorRT's first errors are told, and the last."""


def main() -> None:
    """Build what is asked for, and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Libraries write to standard output as they like, so the events get it for themselves.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(event: Event) -> None:
        try:
            with lock:
                channel.write(msgspec.json.encode(event) + b"\n")
                channel.flush()
        except OSError:  # nobody listens any more, and TensorRT must not meet an exception
            os._exit(1)

    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=BuildRequest)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        say(build(request, say))
    except DenetError as error:
        say(Failed(str(error)))
    except OSError as error:
        say(Failed(f"cannot be written: {error.strerror or error}"))
    except MemoryError:
        say(Failed("out of memory"))
    os._exit(0)  # TensorRT's own end needs no time, and cannot fail


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def build(request: BuildRequest, notify: Callable[[BuildProgress], None]) -> Built:
    """Build the engine and write it.

    Raises:
        BundleError: its ONNX file is damaged.
        BuildError: TensorRT does not take it, or it is not in the precision asked for.
        OSError: it cannot be written.
    """
    spec = request.spec
    model, signature = _source(request)
    log = Log()
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # what the bindings make of an object that is not given
        raise BuildError(f"TensorRT does not start: {log.reason(str(error))}") from None
    # The network must outlive the parser, and the bindings do not see to that.
    network = _network(builder)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise BuildError(_parser_errors(parser) or log.reason("TensorRT cannot parse it"))
    check_signature(network, signature)
    found = products(network)
    if request.graph is None:
        prove_precision(spec.engine, spec.form, found)
    else:
        for engine, form in request.graph.forms.items():
            mine = [product for product in found if product.name.startswith(f"{engine}/")]
            prove_precision(engine, form, mine)

    config = _configured(builder.create_builder_config(), spec.options)
    profile = builder.create_optimization_profile()
    for name, shapes in spec.profile.items():
        profile.set_shape(name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(log.reason(f"TensorRT refuses the profile {spec.profile}"))
    cache_path = Path(request.timing_cache)
    _use_timing_cache(config, cache_path)
    config.progress_monitor = Monitor(notify)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(log.reason("TensorRT builds no engine of it and does not say why"))
    content = memoryview(plan)
    with Path(request.output).open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    _keep_timing_cache(config, cache_path)
    return Built(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=content.nbytes,
        layers=count_layers(network, found),
    )


def _source(request: BuildRequest) -> tuple[bytes, Engine]:
    """The ONNX file to build, and what it reads and makes."""
    spec, graph = request.spec, request.graph
    if graph is None:
        bundle = Bundle.open(request.bundle)
        return bundle.read_engine(spec.engine, spec.form), bundle.manifest.engines[spec.engine]
    content = read_file(Path(graph.path), BuildError, LARGEST)
    if hashlib.sha256(content).hexdigest() != spec.source_sha256:
        raise BuildError(f"{graph.path}: changed while it was built")
    return content, graph.signature


def _network(builder: Any) -> Any:
    flags = trt.NetworkDefinitionCreationFlag
    # A release that has no such flag has no other networks either.
    if not hasattr(flags, "STRONGLY_TYPED"):
        return builder.create_network(0)
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED))
    if not network.get_flag(flags.STRONGLY_TYPED):
        raise BuildError("TensorRT makes no strongly typed network, so precision is not assured")
    return network


def _configured(config: Any, options: BuildOptions) -> Any:
    config.builder_optimization_level = options.opt_level
    # With all its details in it, an engine can be inspected: which kernels, in which types.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
    # TensorRT has TF32 on; FP32 is to be FP32 unless the user says otherwise.
    if hasattr(trt.BuilderFlag, "TF32"):
        if options.tf32:
            config.set_flag(trt.BuilderFlag.TF32)
        else:
            config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    return config


def _use_timing_cache(config: Any, path: Path) -> None:
    known = path.read_bytes() if path.is_file() else b""
    for content in (known, b""):  # a new one where the old one is damaged or of another TensorRT
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _keep_timing_cache(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        with written_whole(path) as temporary:
            temporary.write_bytes(cache.serialize())


def _parser_errors(parser: Any) -> str:
    return "; ".join(_describe(parser.get_error(i)) for i in range(parser.num_errors))


def _describe(parser_error: Any) -> str:
    """Node and reason; where the check that failed says nothing for a person, its kind does."""
    kind = parser_error.code().name.lower().replace("_", " ")
    reason = " ".join(parser_error.desc().split())
    text = f"{kind}: {reason}" if len(reason.split()) > 1 else kind
    name, operator = parser_error.node_name(), parser_error.node_operator()
    if not name and not operator:
        return text
    return f"node {name or parser_error.node()} ({operator}): {text}"


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's errors, for the reason of a failure."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
            text = re.sub(r"^\[[^]]*::\d+\] *", "", " ".join(message.split()))
            if text not in self._errors:
                self._errors.append(text)

    def reason(self, otherwise: str) -> str:
        """The errors: the one that matters may be the first or the last, and few are enough."""
        shown = self._errors[:SHOWN] + self._errors[SHOWN:][-1:]
        return "; ".join(shown) or otherwise


class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Makes one number, from 0 to 1, of TensorRT's phases within phases."""

    def __init__(self, notify: Callable[[BuildProgress], None]) -> None:
        trt.IProgressMonitor.__init__(self)
        self._notify = notify
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done
        self._said = 0.0
        self._lock = threading.RLock()  # phases may run in several threads

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        with self._lock:
            self._phases[phase_name] = parent_phase, num_steps, 0
            self._tell(phase_name)

    def step_complete(self, phase_name: str, step: int) -> bool:
        with self._lock:
            if phase_name in self._phases:
                parent, steps, _ = self._phases[phase_name]
                self._phases[phase_name] = parent, steps, step + 1
                self._tell(phase_name)
        return True

    def phase_finish(self, phase_name: str) -> None:
        with self._lock:
            self._phases.pop(phase_name, None)

    def _tell(self, phase: str) -> None:
        roots = [name for name, (up, _, _) in self._phases.items() if up not in self._phases]
        done = max(map(self._fraction, roots))
        if done >= self._said + STEP:
            self._said = done
            self._notify(BuildProgress(round(done, 3), phase))

    def _fraction(self, phase: str) -> float:
        _, steps, done = self._phases[phase]
        inner = [name for name, (up, _, _) in self._phases.items() if up == phase != name]
        return min(1.0, (done + max(map(self._fraction, inner), default=0.0)) / max(steps, 1))
