"""One engine that stands alone: arrays in, arrays out, outside of a composition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from runtime.backends.base import Buffer, DeviceLostError, EngineCall, Program
from runtime.backends.tensorrt.backend import TensorRTBackend
from runtime.backends.tensorrt.device import Device
from runtime.backends.tensorrt.files import BuiltEngine
from runtime.bundle.manifest import Engine, TensorSpec

Arrays = Mapping[str, NDArray[np.float32]]


class SingleEngine:
    """An engine of fixed shapes in a context of its own; one thread at a time may run it. The
    device is let go of with the last reference, or when the process ends.

    Args:
        built: the engine.
        signature: its inputs and outputs, all of fixed shapes.
        open_device: makes the device; called again where it was lost.

    Raises:
        BackendError: there is no such device, or the engine is another one.
    """

    def __init__(
        self, built: BuiltEngine, signature: Engine, open_device: Callable[[], Device]
    ) -> None:
        self._bound = bound = _BoundEngine(built, signature, open_device)
        self._closing = finalize(self, bound.close)
        try:
            bound.bind()
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Its outputs by name, for the caller to keep.

        Args:
            inputs: by name.

        Raises:
            DeviceLostError: the device gave up; the next call begins anew.
            BackendError: it fails.
        """
        return self._bound.run(inputs)

    def close(self) -> None:
        """Let go of the device."""
        self._closing()


class _BoundEngine:
    """What has to go in an order of its own: the program, and then the context that it is in."""

    def __init__(
        self, built: BuiltEngine, signature: Engine, open_device: Callable[[], Device]
    ) -> None:
        self._name, self._signature = built.facts.spec.engine, signature
        self._backend = TensorRTBackend({self._name: built}, {self._name: signature}, open_device)
        self._program: Program | None = None

    def bind(self) -> Program:
        def buffers(tensors: tuple[TensorSpec, ...]) -> dict[str, Buffer]:
            return {t.name: self._backend.allocate(_fixed(t)) for t in tensors}

        inputs, outputs = buffers(self._signature.inputs), buffers(self._signature.outputs)
        call = EngineCall(self._name, inputs, outputs)
        self._program = self._backend.program(
            tuple(inputs.values()), [call], tuple(outputs.values())
        )
        return self._program

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        program = self._program or self.bind()
        try:
            for tensor, host in zip(self._signature.inputs, program.uploads, strict=True):
                host[...] = inputs[tensor.name]
            found = program.run()
        except DeviceLostError:
            self._program = None
            raise
        names = [tensor.name for tensor in self._signature.outputs]
        return {name: made.copy() for name, made in zip(names, found, strict=True)}

    def close(self) -> None:
        self._program = None
        self._backend.close()


def _fixed(tensor: TensorSpec) -> tuple[int, ...]:
    return tuple(d for d in tensor.shape if isinstance(d, int))
