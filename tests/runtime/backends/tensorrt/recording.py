"""A CUDA device that records what it is told, checks it, and runs it late and out of order.

Streams are queues. Nothing runs before the host waits, and then in a random order that streams and
events allow: so what they do not order happens in the wrong order sooner or later. `races` finds
every such pair, whether or not it happened. Engines are run by ONNX Runtime on a CPU.
"""

from __future__ import annotations

import ctypes
import functools
import json
import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from denet.graph import RGB_NIR_TIR
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.tensorrt.device import (
    Addresses,
    CaptureError,
    Device,
    DeviceContext,
    DeviceEngine,
    DeviceError,
    Shapes,
    TellLayer,
    Tensor,
)
from tests.runtime.backends.tensorrt.queued import Capture, Event, Op, Span, Stream, meet

ENGINES = RGB_NIR_TIR.engines


Load = Callable[[bytes], bytes]


@dataclass(eq=False)
class Graph:
    """What was captured: with the contexts as they were then, and the memory that it uses."""

    ops: list[Op]
    configured: list[tuple[Context, int]]
    memory: list[weakref.ref[NDArray[np.uint8]]]


class Handle:
    """Device memory; must be freed inside the context, and not be used afterwards."""

    def __init__(self, device: RecordingDevice, array: NDArray[np.uint8]) -> None:
        self.device, self.array = device, array
        self.span = array.ctypes.data, array.ctypes.data + array.nbytes
        device.memory[self.span] = array

    def __del__(self) -> None:
        self.device.freed(self.span)


class RecordingDevice(Device):
    """See above.

    Args:
        load: the ONNX file of an engine, from the content of its engine file.
        seed: of the order in which things happen.
        scratch: bytes of scratch memory an engine wants, by its name.
    """

    def __init__(
        self,
        load: Load,
        seed: int = 0,
        *,
        captures: bool = True,
        scratch: Callable[[str], int] = lambda name: 1000 + 8 * len(name),
    ) -> None:
        self._load, self._random = load, random.Random(seed)
        self._scratch = scratch
        self.captures = captures
        self.streams: list[Stream] = []
        self.memory: dict[Span, NDArray[np.uint8]] = {}
        self.ops: list[Op] = []
        self.waited_for: list[Op] = []
        self.inside = 0
        self.complaints: list[str] = []
        self.launched = 0
        self.host_code: list[bool] = []
        self.fail: Callable[[str], None] = lambda what: None
        self.dead = False
        self.closed = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        self._alive()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def _alive(self) -> None:
        if self.dead:
            raise DeviceError("CUDA: an illegal memory access was encountered")

    def _called(self, what: str) -> None:
        if not self.inside:
            self.complaints.append(f"{what} outside of the context")
        self._alive()
        self.fail(what)

    def freed(self, span: Span) -> None:
        if not self.inside and not self.closed:
            self.complaints.append("memory freed outside of the context")
        for op in self.ops:
            if not op.done and any(meet(span, used) for used in (*op.reads, *op.writes)):
                self.complaints.append(f"memory freed before {op.name} has used it")
        del self.memory[span]

    def allocate(self, size: int) -> tuple[int, Handle]:
        self._called("allocate")
        handle = Handle(self, np.full(size, 0xFF, np.uint8))  # NaN as float32
        return handle.span[0], handle

    def pinned(self, count: int) -> NDArray[np.float32]:
        self._called("pinned")
        return np.full(count, np.nan, np.float32)

    def memory_used(self) -> int:
        self._called("memory_used")
        return sum(stop - start for start, stop in self.memory)

    def stream(self) -> Stream:
        self._called("stream")
        self.streams.append(Stream())
        return self.streams[-1]

    def event(self, *, timed: bool = False) -> Event:
        self._called("event")
        return Event(timed)

    def _queue(self, op: Op) -> None:
        stream = op.stream
        if stream.capture is not None:
            if before := stream.capture.last.get(stream):
                op.after.append(before)
            stream.capture.ops.append(op)
            stream.capture.last[stream] = op
            return
        op.after += self.waited_for  # what the host waited for is behind all that it queues now
        if stream.last is not None:
            op.after.append(stream.last)
        stream.queue.append(op)
        stream.last = op
        self.ops.append(op)

    def record(self, event: Event, stream: Stream) -> None:
        self._called("record")
        event.op = Op("record", stream)
        self._queue(event.op)

    def wait(self, stream: Stream, event: Event) -> None:
        self._called("wait")
        assert event.op is not None, "an event that was never recorded orders nothing"
        origin = event.op.stream.capture
        if origin is not None and event.op in origin.ops:
            stream.capture = origin  # a stream that waits for captured work is captured, too
        self._queue(Op("wait", stream, after=[event.op]))

    def seconds(self, first: Event, last: Event) -> float:
        self._called("seconds")
        assert first.timed
        assert last.timed
        assert first.op is not None
        assert last.op is not None
        assert first.op.done
        assert last.op.done
        return (self.ops.index(last.op) - self.ops.index(first.op)) / 1e3

    def upload(self, address: int, host: NDArray[np.float32], stream: Stream) -> None:
        self._called("upload")
        self._move("upload", address, host.ctypes.data, host.nbytes, stream)

    def download(self, host: NDArray[np.float32], address: int, stream: Stream) -> None:
        self._called("download")
        self._move("download", host.ctypes.data, address, host.nbytes, stream)

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        self._called("copy")
        self._move("copy", target, source, size, stream)

    def _move(self, name: str, target: int, source: int, size: int, stream: Stream) -> None:
        def act() -> None:
            at(target, size)[:] = at(source, size)

        reads, writes = [(source, source + size)], [(target, target + size)]
        self._queue(Op(name, stream, reads, writes, act=act))

    def synchronize(self, stream: Stream) -> None:
        self._called("synchronize")
        if stream.capture is not None:
            raise DeviceError("CUDA: a stream that is being captured cannot be waited for")
        self._run_until(lambda: not stream.queue)
        self.waited_for = [stream.last] if stream.last else []

    def settle(self) -> bool:
        if self.dead:
            return False
        self._run_until(lambda: not any(stream.queue for stream in self.streams))
        self.waited_for = [stream.last for stream in self.streams if stream.last]
        return True

    def _run_until(self, finished: Callable[[], bool]) -> None:
        while not finished():
            ready = [s for s in self.streams if s.queue and all(b.done for b in s.queue[0].after)]
            assert ready, "streams wait for each other"
            op = self._random.choice(ready).queue.pop(0)
            op.act()
            op.done = True

    def load(self, content: bytes, name: str, *, host_code: bool) -> DeviceEngine:
        self._called("load")
        self.host_code.append(host_code)
        return Engine(self, self._load(content), name, self._scratch(name))

    def begin_capture(self, stream: Stream) -> None:
        self._called("begin_capture")
        stream.capture = Capture(stream)

    def end_capture(self, stream: Stream) -> Graph:
        capture = stream.capture
        assert capture is not None
        for each in self.streams:
            each.capture = None
        self._called("end_capture")
        known: set[Op] = set()
        _behind(capture.last[stream], known)
        if len(known & set(capture.ops)) != len(capture.ops):
            raise CaptureError("CUDA: unjoined work")
        configured = [op.context for op in capture.ops if isinstance(op, EngineOp)]
        touched = [span for op in capture.ops for span in (*op.reads, *op.writes)]
        return Graph(
            capture.ops,
            [(context, context.configured) for context in configured],
            [
                weakref.ref(array)
                for span, array in self.memory.items()
                if any(meet(span, used) for used in touched)
            ],
        )

    def launch(self, graph: Graph, stream: Stream) -> None:
        self._called("launch")
        self.launched += 1
        for context, version in graph.configured:
            if context.configured != version:
                self.complaints.append("a context was configured again after its capture")

        if any(array() is None for array in graph.memory):
            self.complaints.append("a graph uses memory that was freed")

        def act() -> None:
            left = dict.fromkeys(graph.ops)
            while left:
                ready = [op for op in left if not any(before in left for before in op.after)]
                op = self._random.choice(ready)
                del left[op]
                op.act()

        reads = [span for op in graph.ops for span in op.reads]
        writes = [span for op in graph.ops for span in op.writes]
        self._queue(Op("graph", stream, reads, writes, act=act))

    def close(self) -> None:
        self.closed = True


@functools.lru_cache(2 * len(ENGINES))
def opened(model: bytes, name: str) -> ort.InferenceSession:
    """One session for all devices: they do not share what it computes, only what it holds, and
    those of a hundred devices would be 20 GB."""
    Pool.ensure(None)
    return open_session(model, CPU, name)


@dataclass(eq=False)
class EngineOp(Op):
    context: Any = None


class Engine(DeviceEngine):
    def __init__(self, device: RecordingDevice, model: bytes, name: str, scratch: int) -> None:
        self.device, self.name, self.scratch = device, name, scratch
        self.session = opened(model, name)

        def tensors(nodes: Any, *, is_input: bool) -> dict[str, Tensor]:
            return {
                n.name: Tensor(
                    is_input, "float32", tuple(d if isinstance(d, int) else -1 for d in n.shape)
                )
                for n in nodes
            }

        self.tensors: Mapping[str, Tensor] = {
            **tensors(self.session.get_inputs(), is_input=True),
            **tensors(self.session.get_outputs(), is_input=False),
        }

    def context(self) -> DeviceContext:
        self.device._called("context")
        return Context(self)

    def inspect(self) -> str:
        return json.dumps({"Layers": [{"Name": f"{self.name} conv", "LayerType": "Convolution"}]})


class Context(DeviceContext):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.configured = 0
        self.tell: TellLayer | None = None
        self.now: tuple[dict[str, tuple[int, ...]], dict[str, int], int] | None = None

    def configure(self, shapes: Shapes, addresses: Addresses, scratch: int) -> None:
        now = dict(shapes), dict(addresses), scratch
        if now != self.now:
            self.configured += 1
        self.now = now

    def enqueue(self, stream: Stream) -> None:
        device, session = self.engine.device, self.engine.session
        device._called(self.engine.name)
        assert self.now is not None
        shapes, addresses, scratch = self.now
        symbols: dict[str, int] = {}
        for node in session.get_inputs():
            for dimension, size in zip(node.shape, shapes[node.name], strict=True):
                symbols[str(dimension)] = size
        sizes = {
            node.name: tuple(symbols.get(str(d), d) for d in node.shape)
            for node in (*session.get_inputs(), *session.get_outputs())
        }
        spans = {
            name: (addresses[name], addresses[name] + 4 * int(np.prod(size)))
            for name, size in sizes.items()
        }

        def act() -> None:
            def array(name: str) -> NDArray[np.float32]:
                start, stop = spans[name]
                return at(start, stop - start).view(np.float32).reshape(sizes[name])

            outputs = [node.name for node in session.get_outputs()]
            feed = {node.name: array(node.name) for node in session.get_inputs()}
            for name, found in zip(outputs, session.run(outputs, feed), strict=True):
                array(name)[...] = found

        own = (scratch, scratch + self.engine.scratch)
        reads = [spans[node.name] for node in session.get_inputs()]
        writes = [spans[node.name] for node in session.get_outputs()]
        if self.engine.scratch:
            writes.append(own)
        op = EngineOp(self.engine.name, stream, reads, writes, act=act)
        op.context = self
        device._queue(op)
        if self.tell is not None:
            device._run_until(lambda: not stream.queue)
            self.tell(f"{self.engine.name} conv", 0.002)
            self.tell("what is not inspected", 0.001)

    def observe(self, tell: TellLayer) -> None:
        self.tell = tell


def at(address: int, size: int) -> NDArray[np.uint8]:
    """The bytes at an address."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)


def _behind(op: Op, known: set[Op]) -> None:
    stack = [op]
    while stack:
        if (op := stack.pop()) not in known:
            known.add(op)
            stack.extend(op.after)
