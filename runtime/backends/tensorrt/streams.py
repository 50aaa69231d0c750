"""A program on streams: queued part by part, captured into a CUDA graph once that is worth it."""

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
from runtime.backends.tensorrt.parts import Part, Transfer
from runtime.backends.tensorrt.schedule import schedule

if TYPE_CHECKING:
    from runtime.backends.tensorrt.backend import TensorRTBackend


@dataclass(frozen=True)
class Graph:
    """A captured program.

    Attributes:
        handle: the graph.
        parts: what was captured; their contexts are the graph's own.
        age: of the scratch memory that it knows.
    """

    handle: Handle
    parts: Sequence[Part]
    age: int


class StreamProgram(Program):
    """Parts that are placed on streams by `runtime.backends.tensorrt.schedule`.

    The first run queues them one by one. The second captures them into a graph, and from then on
    the graph is queued as a whole: what runs once, a rare mix of states, is not worth the capture.

    Attributes:
        not_captured: why it cannot be captured; None if it can, or was not tried.
    """

    def __init__(self, backend: TensorRTBackend, parts: Sequence[Part]) -> None:
        self._backend = backend
        self._parts = parts
        self._lanes = backend.lanes
        self._schedule = schedule([part.work for part in parts], len(self._lanes))
        self._graph: Graph | None = None
        self._ran = False
        self.not_captured: str | None = None
        transfers = [part for part in parts if isinstance(part, Transfer)]
        self.uploads = tuple(part.host for part in transfers if part.kind == "upload")
        self._downloads = tuple(part.host for part in transfers if part.kind == "download")
        for part, at in zip(parts, self._schedule.placed, strict=True):
            backend.reserve(self._lanes[at.lane], part.scratch)
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
                self._enqueue(device, self._parts)
                device.synchronize(self._lanes[0].stream)
            self._ran = True
        return self._downloads

    def _capture(self, device: Device) -> None:
        """Run once in contexts of its own, and then capture the same.

        TensorRT puts some work off until a context first runs in a new shape, so it has to run
        before it is captured; and a graph knows its contexts, which nothing may change afterwards.
        """
        stream = self._lanes[0].stream
        parts = [part.for_graph() for part in self._parts]
        self._enqueue(device, parts)
        device.synchronize(stream)
        try:
            handle = self._captured(device, parts)
        except (CaptureError, DeviceError) as error:
            self.not_captured = str(error)  # what it gave before is right all the same
            return
        self.forget_graph()
        self._graph = Graph(handle, parts, self._backend.scratch_age)
        self._backend.keep(self)

    def _captured(self, device: Device, parts: Sequence[Part]) -> Handle:
        stream = self._lanes[0].stream
        device.begin_capture(stream)
        try:
            self._enqueue(device, parts)
        except DeviceError:
            with suppress(CaptureError):  # the first error is the reason
                device.end_capture(stream)
            raise
        return device.end_capture(stream)

    def _enqueue(
        self,
        device: Device,
        parts: Sequence[Part],
        marks: Sequence[tuple[Handle, Handle]] | None = None,
    ) -> None:
        """Queue all parts; with `marks`, a timed event before and behind each."""
        first = self._lanes[0].stream
        device.record(self._began, first)
        for lane in self._lanes[1 : self._schedule.lanes]:
            device.wait(lane.stream, self._began)
        for i, (part, at) in enumerate(zip(parts, self._schedule.placed, strict=True)):
            lane = self._lanes[at.lane]
            for earlier in at.waits:
                device.wait(lane.stream, self._events[earlier])
            if marks:
                device.record(marks[i][0], lane.stream)
            part.enqueue(lane)
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
            marks = [(device.event(timed=True), device.event(timed=True)) for _ in self._parts]
            began = time.perf_counter()
            device.record(zero, first)
            self._enqueue(device, self._parts, marks)
            enqueued = time.perf_counter() - began
            device.synchronize(first)
            seconds = time.perf_counter() - began
            times = [tuple(device.seconds(zero, mark) for mark in pair) for pair in marks]
        return Trace(
            enqueued,
            seconds,
            tuple(
                Span(part.kind, part.name, at.lane, start, stop)
                for part, at, (start, stop) in zip(
                    self._parts, self._schedule.placed, times, strict=True
                )
            ),
        )
