"""Executes layouts over a backend's engines: preprocessed images in, parts of embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.graph import STACKED, Modality, State, image_value
from runtime.backends.base import (
    Backend,
    Buffer,
    CopyCall,
    DeviceLostError,
    EngineCall,
    Program,
    ProgramCall,
    Trace,
)
from runtime.bundle.manifest import Manifest
from runtime.layout import (
    VECTORS,
    Copy,
    EngineRun,
    Layout,
    Rows,
    TableKind,
    batch_order,
    layout,
    most_vectors,
)

Fill = Callable[[int, Modality, NDArray[np.float32]], None]
"""Writes the network input (3, H, W) of a sample's modality into the given array."""

_KEPT_PROGRAMS = 128

_JUDGED = 1024
"""Batches after which the kept programs are judged by how many of them had one."""


@dataclass(frozen=True)
class _Bound:
    """A layout bound to buffers: its program uploads the images of each modality in the layout's
    order and downloads all vectors, among which are the parts."""

    program: Program
    images: dict[Modality, tuple[int, ...]]  # as in the layout
    part_rows: NDArray[np.intp]  # (B, P)


@dataclass(frozen=True)
class _Guard:
    """Where the device is lost, so are the programs and tables on it."""

    forget: Callable[[], None]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, DeviceLostError):
            self.forget()


class Composer:
    """Runs the engines of a bundle in the order of each batch's plans.

    Buffers are shared by all programs, since one runs at a time: memory is that of the largest
    batch. A combination of states whose program is kept costs no planning and no binding.

    Not safe for use by two threads at once; `runtime.Runtime` takes care of that.
    """

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self.backend = backend
        self.graph = manifest.graph
        self._engines = manifest.engines
        self._channels = manifest.channels
        size = manifest.preprocessing
        self._row_shapes: dict[TableKind, tuple[int, ...]] = {
            "image": (3, size.height, size.width),
            "feature": (manifest.channels, *manifest.feature_size),
            "vector": (manifest.channels,),
        }
        self._tables: dict[str, Buffer] = {}
        self._programs: dict[tuple[State, ...], _Bound] = {}
        self._batches = self._unknown = 0
        self._guard = _Guard(self._forget)

    def load(self, states: Iterable[State]) -> None:
        """Load the engines of `states` now instead of each when it is first needed."""
        with self._guard:
            for engine in self.graph.engines_of(states):
                self.backend.load(engine)

    def close(self) -> None:
        """Release programs, buffers and engines."""
        self._forget()
        self.backend.close()

    def run(self, states: Sequence[State], fill: Fill) -> NDArray[np.float32]:
        """The parts (B, P, C) of B samples in `states`, in any order and mix.

        Args:
            states: the state of each sample.
            fill: called once for each available modality of each sample.
        """
        order = batch_order(self.graph, states)
        with self._guard:
            bound = self._fill(states, order, fill)
            (vectors,) = bound.program.run()
        rows = bound.part_rows
        if len(order) > 1:
            rows = np.empty_like(rows)
            rows[order] = bound.part_rows
        return vectors.take(rows, axis=0)

    def trace(self, states: Sequence[State], fill: Fill) -> Trace:
        """Run as `run` does, and tell when each part of it ran."""
        with self._guard:
            return self._fill(states, batch_order(self.graph, states), fill).program.trace()

    def run_tensors(
        self, samples: Sequence[Mapping[Modality, NDArray[np.float32]]]
    ) -> NDArray[np.float32]:
        """The parts (B, P, C) of samples whose images are already network input (3, H, W)."""

        def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
            np.copyto(out, samples[sample][modality])

        return self.run([self.graph.state(sample) for sample in samples], fill)

    def run_engine(
        self, engine: str, inputs: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Run one engine on its own, outside any plan: its outputs by name.

        Args:
            engine: the engine's name.
            inputs: every input of the engine, in the shape that the manifest gives.
        """
        with self._guard:
            found = self.engine_program(engine, inputs).run()
        names = [tensor.name for tensor in self._engines[engine].outputs]
        return {name: array.copy() for name, array in zip(names, found, strict=True)}

    def engine_program(self, engine: str, inputs: Mapping[str, NDArray[np.float32]]) -> Program:
        """A program that runs one engine on `inputs`, filled in, and downloads its outputs."""
        spec = self._engines[engine]
        sizes: dict[int | str, int] = {}
        for tensor in spec.inputs:
            sizes.update(zip(tensor.shape, inputs[tensor.name].shape, strict=True))
        given = {t.name: self.backend.allocate(inputs[t.name].shape) for t in spec.inputs}
        made = {
            tensor.name: self.backend.allocate(
                tuple(d if isinstance(d, int) else sizes[d] for d in tensor.shape)
            )
            for tensor in spec.outputs
        }
        call = EngineCall(engine, given, made)
        program = self.backend.program(list(given.values()), [call], list(made.values()))
        for name, host in zip(given, program.uploads, strict=True):
            np.copyto(host, inputs[name])
        return program

    def _fill(self, states: Sequence[State], order: Sequence[int], fill: Fill) -> _Bound:
        """The program of a batch, its images filled in."""
        bound = self._program(tuple(states[i] for i in order))
        uploads = bound.program.uploads
        for (modality, positions), host in zip(bound.images.items(), uploads, strict=True):
            for row, position in enumerate(positions):
                fill(order[position], modality, host[row])
        return bound

    def _program(self, states: tuple[State, ...]) -> _Bound:
        self._batches += 1
        if bound := self._programs.get(states):
            return bound
        self._unknown += 1
        rows = layout(self.graph, states)
        self._reserve(rows, len(states))
        program = self.backend.program(
            [self._view(Rows(image_value(m), 0, len(held))) for m, held in rows.images.items()],
            [self._call(step) for step in rows.steps],
            [self._view(Rows(VECTORS, 0, rows.tables[VECTORS]))],
        )
        bound = _Bound(program, rows.images, np.asarray(rows.parts, np.intp))
        self._keep(states, bound)
        return bound

    def _keep(self, states: tuple[State, ...], bound: _Bound) -> None:
        """Remember a program while there is room. What is kept stays, because memory comes to
        rest only where programs do not come and go, until a quarter of the batches find none:
        then other combinations are usual now, and all begins anew."""
        if self._batches >= _JUDGED:
            if len(self._programs) >= _KEPT_PROGRAMS and 4 * self._unknown > self._batches:
                self._programs.clear()
            self._batches = self._unknown = 0
        if len(self._programs) < _KEPT_PROGRAMS:
            self._programs[states] = bound

    def _forget(self) -> None:
        self._programs.clear()
        self._tables.clear()

    def _reserve(self, rows: Layout, samples: int) -> None:
        """Have each table hold what any batch of so many samples can need, so that only a larger
        batch than all before moves it. Programs bound to a table that moves are forgotten."""
        for table, kind in rows.kinds.items():
            count = samples * (most_vectors(self.graph) if kind == "vector" else 1)
            if table not in self._tables or self._tables[table].shape[0] < count:
                if self._tables.pop(table, None):
                    self._programs.clear()
                self._tables[table] = self.backend.allocate((count, *self._row_shapes[kind]))

    def _view(self, span: Rows) -> Buffer:
        return self._tables[span.table].rows(span.start, span.count)

    def _call(self, step: Copy | EngineRun) -> ProgramCall:
        if isinstance(step, Copy):
            return CopyCall(self._view(step.source), self._view(step.target))

        def shaped(name: str, span: Rows) -> Buffer:
            view = self._view(span)
            if name in STACKED:
                return view.reshape((step.targets, step.batch, self._channels))
            return view

        return EngineCall(
            step.engine,
            {name: shaped(name, span) for name, span in step.inputs.items()},
            {name: shaped(name, span) for name, span in step.outputs.items()},
        )
