"""Executes layouts over a backend's engines: preprocessed images in, parts of embeddings out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.graph import ENGINES, PARTS, STACKED, Modality, State, image_value, plan
from runtime.backends.base import Backend, Buffer
from runtime.bundle import Manifest
from runtime.layout import VECTORS, Copy, Layout, Run, Span, batch_order, layout

Fill = Callable[[int, Modality, NDArray[np.float32]], None]
"""Writes the network input (3, H, W) of a sample's modality into the given array."""

_KEPT_PROGRAMS = 128


@dataclass(frozen=True)
class _Program:
    """A layout bound to buffers: run its steps, then read the parts."""

    layout: Layout
    images: tuple[tuple[Modality, Buffer, NDArray[np.float32]], ...]
    steps: tuple[Callable[[], None], ...]
    vectors: Buffer
    part_rows: NDArray[np.intp]  # (B, 6)


class Composer:
    """Runs the engines of a bundle in the order of each batch's plans.

    Buffers are shared by all programs, since one runs at a time: memory is that of the largest
    batch. A combination of states that was seen before costs no planning and no binding.

    Not safe for use by two threads at once; `runtime.Runtime` takes care of that.
    """

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self.backend = backend
        self._engines = manifest.engines
        self._channels = manifest.channels
        size = manifest.preprocessing
        self._row_shapes = {
            "image": (3, size.height, size.width),
            "feature": (manifest.channels, *manifest.feature_size),
            VECTORS: (manifest.channels,),
        }
        self._tables: dict[str, Buffer] = {}
        self._programs: OrderedDict[tuple[State, ...], _Program] = OrderedDict()

    def load(self, states: Iterable[State]) -> None:
        """Load the engines of `states` now instead of each when it is first needed."""
        needed = {engine for state in states for engine in plan(state).engines}
        for engine in ENGINES:
            if engine in needed:
                self.backend.load(engine)

    def close(self) -> None:
        """Release programs, buffers and engines."""
        self._programs.clear()
        self._tables.clear()
        self.backend.close()

    def run(self, states: Sequence[State], fill: Fill) -> NDArray[np.float32]:
        """The parts (B, 6, C) of B samples in `states`, in any order and mix.

        Args:
            states: the state of each sample.
            fill: called once for each available modality of each sample.
        """
        order = batch_order(states)
        program = self._program(tuple(states[i] for i in order))
        for modality, buffer, host in program.images:
            for row, position in enumerate(program.layout.images[modality]):
                fill(order[position], modality, host[row])
            self.backend.push(buffer)
        for step in program.steps:
            step()
        vectors = self.backend.pull(program.vectors)
        parts = np.empty((len(states), PARTS, self._channels), np.float32)
        parts[order] = vectors[program.part_rows]
        return parts

    def run_tensors(
        self, samples: Sequence[Mapping[Modality, NDArray[np.float32]]]
    ) -> NDArray[np.float32]:
        """The parts (B, 6, C) of samples whose images are already network input (3, H, W)."""

        def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
            np.copyto(out, samples[sample][modality])

        return self.run([State.of(sample) for sample in samples], fill)

    def run_engine(
        self, engine: str, inputs: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Run one engine on its own, outside any plan: its outputs by name.

        Args:
            engine: the engine's name.
            inputs: every input of the engine, in the shape that the manifest gives.
        """
        spec = self._engines[engine]
        sizes: dict[int | str, int] = {}
        buffers: dict[str, Buffer] = {}
        for tensor in spec.inputs:
            array = inputs[tensor.name]
            sizes.update(zip(tensor.shape, array.shape, strict=True))
            buffers[tensor.name] = buffer = self.backend.allocate(array.shape)
            np.copyto(self.backend.stage(buffer), array)
            self.backend.push(buffer)
        outputs = {
            tensor.name: self.backend.allocate(
                tuple(d if isinstance(d, int) else sizes[d] for d in tensor.shape)
            )
            for tensor in spec.outputs
        }
        self.backend.bind(engine, buffers, outputs)()
        return {name: self.backend.pull(buffer).copy() for name, buffer in outputs.items()}

    def _program(self, states: tuple[State, ...]) -> _Program:
        if states in self._programs:
            self._programs.move_to_end(states)
            return self._programs[states]
        rows = layout(states)
        self._reserve(rows.tables)
        program = _Program(
            rows,
            tuple(
                (m, buffer, self.backend.stage(buffer))
                for m, samples in rows.images.items()
                for buffer in [self._view(Span(image_value(m), 0, len(samples)))]
            ),
            tuple(self._bind(step) for step in rows.steps),
            self._view(Span(VECTORS, 0, rows.tables[VECTORS])),
            np.asarray(rows.parts, np.intp),
        )
        self._programs[states] = program
        if len(self._programs) > _KEPT_PROGRAMS:
            self._programs.popitem(last=False)
        return program

    def _reserve(self, rows: Mapping[str, int]) -> None:
        """Grow the tables to `rows`; programs bound to a table that moves are forgotten."""
        for table, count in rows.items():
            if table not in self._tables or self._tables[table].shape[0] < count:
                self._programs.clear()
                self._tables.pop(table, None)
                kind = table.partition("_")[0]
                self._tables[table] = self.backend.allocate((count, *self._row_shapes[kind]))

    def _view(self, span: Span) -> Buffer:
        return self._tables[span.table].rows(span.start, span.rows)

    def _bind(self, step: Copy | Run) -> Callable[[], None]:
        if isinstance(step, Copy):
            return self.backend.copy(self._view(step.source), self._view(step.target))

        def shaped(name: str, span: Span) -> Buffer:
            view = self._view(span)
            if name in STACKED:
                return view.reshape((step.targets, step.batch, self._channels))
            return view

        return self.backend.bind(
            step.engine,
            {name: shaped(name, span) for name, span in step.inputs.items()},
            {name: shaped(name, span) for name, span in step.outputs.items()},
        )
