"""Replays the plans of missing states over a batch of complete samples, each computation once.

A calibration asks the same samples for their embeddings in seven states with many choices of
forms, and most of what these need is the same: a branch makes its feature once, whatever the state.
So every value is known by how it was made - engine, form, and the values that went in - and is
made when it is first asked for. What a CMFT or an edge reads is thus always what real branches
made of real images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.graph import ENGINES, STACKED, Call, Modality, State, image_value, plan
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.bundle.forms import Form, Forms

Arrays = dict[str, NDArray[np.float32]]

Key = tuple[Any, ...]
"""How a value was made: equal keys are equal values, within a batch."""


class Engines:
    """Engines in several forms, as ONNX Runtime sessions on the CPU, loaded when first needed.

    Args:
        read: the ONNX model of an engine in a form.
        threads: of the process's pool.

    Raises:
        BackendError: the process has a pool with another number of threads.
    """

    def __init__(self, read: Callable[[str, Form], bytes], threads: int | None) -> None:
        Pool.ensure(threads)
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


class Replay:
    """All that can be made of one batch.

    Args:
        engines: what runs.
        images: network inputs (B, 3, H, W) of each modality; states without the others can be
            replayed.
    """

    def __init__(self, engines: Engines, images: Mapping[Modality, NDArray[np.float32]]) -> None:
        self._engines = engines
        self._values: dict[Key, NDArray[np.float32]] = {
            (image_value(m),): array for m, array in images.items()
        }

    def parts(self, state: State, forms: Forms) -> list[tuple[Key, NDArray[np.float32]]]:
        """The six parts (B, C) of the embedding of `state`, each with how it was made.

        Args:
            state: within the modalities of the batch.
            forms: of each engine.
        """
        keys: dict[str, Key] = {}
        for call, read, made in self._calls(state, forms, keys):
            first = next(iter(call.outputs.values()))[0]
            if keys[first] not in self._values:
                self._run(call.engine, forms[call.engine], read, made)
        return [(keys[name], self._values[keys[name]]) for name in plan(state).parts]

    def inputs(self, state: State, forms: Forms) -> Iterator[tuple[str, Arrays]]:
        """Each engine of `state`, with what it reads; the parts must have been made."""
        for call, read, _ in self._calls(state, forms, {}):
            yield call.engine, self._gathered(read)

    def _calls(
        self, state: State, forms: Forms, keys: dict[str, Key]
    ) -> Iterator[tuple[Call, dict[str, tuple[Key, ...]], Key]]:
        """Each call of the plan of `state`, with the values it reads, and how what it makes is
        known; `keys` gets those of all values of the plan by their names."""
        keys |= {image_value(m): (image_value(m),) for m in state.available}
        for call in plan(state).calls:
            read = {name: tuple(keys[v] for v in names) for name, names in call.inputs.items()}
            made: Key = (call.engine, forms[call.engine], *read.items())
            for output, names in call.outputs.items():
                for index, name in enumerate(names):
                    keys[name] = (*made, output, index)
            yield call, read, made

    def _gathered(self, read: Mapping[str, tuple[Key, ...]]) -> Arrays:
        return {
            name: np.stack([self._values[key] for key in keys])
            if name in STACKED
            else self._values[keys[0]]
            for name, keys in read.items()
        }

    def _run(self, engine: str, form: Form, read: Mapping[str, tuple[Key, ...]], made: Key) -> None:
        for output, array in self._engines.run(engine, form, self._gathered(read)).items():
            each = array if output in STACKED else [array]
            for index, value in enumerate(each):
                self._values[(*made, output, index)] = value


def all_in(form: Form) -> dict[str, Form]:
    """Every engine in one form."""
    return dict.fromkeys(ENGINES, form)
