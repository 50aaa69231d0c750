"""Replays the plans of missing states over a batch of complete samples, each computation once.

A calibration asks the same samples for their embeddings in every state with many choices of
forms, and most of what these need is the same: a branch makes its feature once, whatever the state.
So every value is known by how it was made - engine, form, and the values that went in - and is
made when it is first asked for. What a CMFT or an edge reads is thus always what real branches
made of real images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import Call, Graph, Modality, State, execute, image_value, stacked, unstacked
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.forms import Form, Forms

Arrays = dict[str, NDArray[np.float32]]

Key = tuple[Any, ...]
"""How a value was made: equal keys are equal values, within a batch."""

Read = dict[str, tuple[Key, ...]]
"""How what a call reads was made, by the name of each input."""


class ReplayEngines:
    """Engines in several forms, as ONNX Runtime sessions on the CPU, loaded when first needed.

    Args:
        graph: whose engines they are.
        read: the ONNX model of an engine in a form.
        threads: of the process's pool.

    Raises:
        BackendError: the process has a pool with another number of threads.
    """

    def __init__(
        self, graph: Graph, read: Callable[[str, Form], bytes], threads: int | None
    ) -> None:
        Pool.ensure(threads)
        self.graph = graph
        self._read = read
        self._sessions: dict[tuple[str, Form], Any] = {}

    def run(self, engine: str, form: Form, inputs: Arrays) -> Arrays:
        """The outputs of an engine, by name.

        Raises:
            BackendError: it cannot be loaded or run.
        """
        if (engine, form) not in self._sessions:
            # What is made for TensorRT does not overflow there, as this CPU's int8 might.
            self._sessions[engine, form] = open_session(
                self._read(engine, form), CPU, engine, literal=form == "int8-trt"
            )
        session = self._sessions[engine, form]
        names = [output.name for output in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise BackendError(f"{engine} in {form}: cannot be run: {error}") from None

    def with_model(self, engine: str, form: Form, model: bytes) -> ReplayEngines:
        """The same engines, but for one in a form, which is `model`."""

        def read(name: str, wanted: Form) -> bytes:
            return model if (name, wanted) == (engine, form) else self._read(name, wanted)

        other = ReplayEngines(self.graph, read, Pool.threads)
        other._sessions = {k: s for k, s in self._sessions.items() if k != (engine, form)}
        return other


class Replay:
    """All that can be made of one batch.

    Args:
        engines: what runs.
        images: network inputs (B, 3, H, W) of each modality; states without the others can be
            replayed.
    """

    def __init__(
        self, engines: ReplayEngines, images: Mapping[Modality, NDArray[np.float32]]
    ) -> None:
        self._engines = engines
        self._values: dict[Key, NDArray[np.float32]] = {
            (image_value(m),): array for m, array in images.items()
        }

    def fork(self, engines: ReplayEngines) -> Replay:
        """All that was made so far, and what is made from now on by itself.

        Args:
            engines: that make it; those that made something already are the same.
        """
        other = Replay(engines, {})
        other._values = dict(self._values)
        return other

    def parts(self, state: State, forms: Forms) -> list[tuple[Key, NDArray[np.float32]]]:
        """The parts (B, C) of the embedding of `state`, each with how it was made.

        Args:
            state: within the modalities of the batch.
            forms: of each engine.
        """
        keys = self._follow(state, lambda call, read: self._run(call, forms[call.engine], read))
        parts = self._engines.graph.plan(state).parts
        return [(keys[name], self._values[keys[name]]) for name in parts]

    def inputs(self, state: State, forms: Forms) -> list[tuple[str, Arrays]]:
        """Each call of the plan of `state`: its engine, and what that reads. Args: as `parts`."""
        found: list[tuple[str, Arrays]] = []

        def run(call: Call, read: Read) -> dict[str, tuple[Key, ...]]:
            found.append((call.engine, self._gathered(read)))
            return self._run(call, forms[call.engine], read)

        self._follow(state, run)
        return found

    def _follow(
        self, state: State, run: Callable[[Call, Read], Mapping[str, Sequence[Key]]]
    ) -> dict[str, Key]:
        """How each value of the plan of `state` is made, by its name there."""
        keys: dict[str, Key] = {image_value(m): (image_value(m),) for m in state.available}
        execute(self._engines.graph.plan(state).calls, keys, run)
        return keys

    def _run(self, call: Call, form: Form, read: Read) -> dict[str, tuple[Key, ...]]:
        """How what a call makes is made; made now, if it has not been."""
        how: Key = (call.engine, form, *read.items())
        made = {
            output: tuple((*how, output, index) for index in range(len(names)))
            for output, names in call.outputs.items()
        }
        if any(key not in self._values for keys in made.values() for key in keys):
            arrays = self._engines.run(call.engine, form, self._gathered(read))
            for output, each in unstacked(arrays).items():
                self._values |= {(*how, output, i): array for i, array in enumerate(each)}
        return made

    def _gathered(self, read: Read) -> Arrays:
        arrays = {name: tuple(self._values[k] for k in keys) for name, keys in read.items()}
        return stacked(arrays, np.stack)


def all_in(graph: Graph, form: Form) -> dict[str, Form]:
    """Every engine of `graph` in one form."""
    return dict.fromkeys(graph.engines, form)
