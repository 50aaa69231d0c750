"""A program on streams: queued one by one, captured into a CUDA graph once that is worth it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import Program, Span, Trace
from runtime.backends.tensorrt.device import CaptureError, Device, DeviceError, Handle
from runtime.backends.tensorrt.operations import Operation, Transfer
from runtime.backends.tensorrt.schedule import schedule

if TYPE_CHECKING:
    from runtime.backends.tensorrt.backend import TensorRTBackend


@dataclass(frozen=True)
class CapturedGraph:
    """A captured program.

    Attributes:
        handle: the graph.
        operations: what was captured; their contexts are the graph's own.
        age: of the scratch memory that it knows.
    """

    handle: Handle
    operations: Sequence[Operation]
    age: int


class StreamProgram(Program):
    """Operations that are placed on streams by `runtime.backends.tensorrt.schedule`.

    The first run queues them one by one. The second captures them into a graph, and from then on
    the graph is queued as a whole: what runs once, a rare mix of states, is not worth the capture.

    Attributes:
        not_captured: why it cannot be captured; None if it can, or was not tried.
    """

    def __init__(self, backend: TensorRTBackend, operations: Sequence[Operation]) -> None:
        self._backend = backend
        self._operations = operations
        self._lanes = backend.lanes
        self._schedule = schedule([operation.work for operation in operations], len(self._lanes))
        self._graph: CapturedGraph | None = None
        self._ran = False
        self.not_captured: str | None = None
        transfers = [operation for operation in operations if isinstance(operation, Transfer)]
        self.uploads = tuple(
            operation.host for operation in transfers if operation.kind == "upload"
        )
        self._downloads = tuple(
            operation.host for operation in transfers if operation.kind == "download"
        )
        for operation, at in zip(operations, self._schedule.placed, strict=True):
            backend.reserve(self._lanes[at.lane], operation.scratch)
        with backend.guarded() as device:
            self._began = device.event()
            self._events = {i: device.event() for i in self._schedule.signals}

    def __del__(self) -> None:
        if hasattr(self, "_events"):
            self._backend.discard(self._graph, self._began, self._events)

    @property
    def captured(self) -> bool:
        """Whether it has a graph that may be launched."""
        return self._graph is not None and self._graph.age == self._backend.scratch_age

    def forget_graph(self) -> None:
        """Free the graph; it is captured again if the program runs again."""
        self._backend.discard(self._graph)
        self._graph = None

    def run(self) -> tuple[NDArray[np.float32], ...]:
        with self._backend.guarded() as device:
            if self._graph is not None and self.captured:
                device.launch(self._graph.handle, self._lanes[0].stream)
                self._backend.keep(self)
                device.synchronize(self._lanes[0].stream)
            elif self._ran and device.captures and self.not_captured is None:
                self._capture(device)
            else:
                self._enqueue(device, self._operations)
                device.synchronize(self._lanes[0].stream)
            self._ran = True
        return self._downloads

    def _capture(self, device: Device) -> None:
        """Run once in contexts of its own, and then capture the same.

        TensorRT puts some work off until a context first runs in a new shape, so it has to run
        before it is captured; and a graph knows its contexts, which nothing may change afterwards.
        """
        stream = self._lanes[0].stream
        operations = [operation.for_graph() for operation in self._operations]
        self._enqueue(device, operations)
        device.synchronize(stream)
        try:
            handle = self._captured(device, operations)
        except (CaptureError, DeviceError) as error:
            self.not_captured = str(error)  # what it gave before is right all the same
            return
        self.forget_graph()
        self._graph = CapturedGraph(handle, operations, self._backend.scratch_age)
        self._backend.keep(self)

    def _captured(self, device: Device, operations: Sequence[Operation]) -> Handle:
        stream = self._lanes[0].stream
        device.begin_capture(stream)
        try:
            self._enqueue(device, operations)
        except BaseException:
            with suppress(CaptureError):  # the first error is the reason
                device.end_capture(stream)
            raise
        return device.end_capture(stream)

    def _enqueue(
        self,
        device: Device,
        operations: Sequence[Operation],
        marks: Sequence[tuple[Handle, Handle]] | None = None,
    ) -> None:
        """Queue all operations; with `marks`, a timed event before and behind each."""
        first = self._lanes[0].stream
        device.record(self._began, first)
        for lane in self._lanes[1 : self._schedule.lanes]:
            device.wait(lane.stream, self._began)
        for i, (operation, at) in enumerate(zip(operations, self._schedule.placed, strict=True)):
            lane = self._lanes[at.lane]
            for earlier in at.waits:
                device.wait(lane.stream, self._events[earlier])
            if marks:
                device.record(marks[i][0], lane.stream)
            operation.enqueue(lane)
            if marks:
                device.record(marks[i][1], lane.stream)
            if i in self._events:
                device.record(self._events[i], lane.stream)
        for last in self._schedule.joins:
            device.wait(first, self._events[last])

    def trace(self) -> Trace:
        first = self._lanes[0].stream
        with self._backend.guarded() as device:
            zero = device.event(timed=True)
            marks = [(device.event(timed=True), device.event(timed=True)) for _ in self._operations]
            began = time.perf_counter()
            device.record(zero, first)
            self._enqueue(device, self._operations, marks)
            enqueued = time.perf_counter() - began
            device.synchronize(first)
            seconds = time.perf_counter() - began
            times = [tuple(device.seconds(zero, mark) for mark in pair) for pair in marks]
        return Trace(
            enqueued,
            seconds,
            tuple(
                Span(operation.kind, operation.name, at.lane, start, stop)
                for operation, at, (start, stop) in zip(
                    self._operations, self._schedule.placed, times, strict=True
                )
            ),
        )
