"""A machine with a recording device and engines that are built for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import runtime.backends.tensorrt.backend as tensorrt
import runtime.backends.tensorrt.streams as streams
from denet.graph import RGB_NIR_TIR, Modality, State
from runtime import Bundle, Runtime
from runtime.backends.tensorrt.device import DeviceError
from runtime.backends.tensorrt.files import (
    BuildSpec,
    EngineFacts,
    Found,
    Layers,
    engine_path,
    facts_path,
    find_engines,
    profile_of,
)
from runtime.backends.tensorrt.machine import BuildMachine, BuildOptions
from runtime.backends.tensorrt.trust import trusted_by, with_code
from runtime.bundle.forms import Forms
from runtime.composer import Composer
from tests.runtime.backends.tensorrt.recording import RecordingDevice

ENGINES = RGB_NIR_TIR.engines
STATES = RGB_NIR_TIR.states


HERE = BuildMachine(
    gpu="Orin",
    compute_capability=(8, 7),
    multiprocessors=16,
    integrated=True,
    platform="linux-aarch64",
    tensorrt="10.3.0",
    backend="TensorRT 10.3.0",
)


MIXED = [STATES[6], STATES[0], STATES[3], STATES[4], STATES[1], STATES[0], STATES[5], STATES[2]]


Inputs = list[dict[Modality, NDArray[np.float32]]]


def write_engines(bundle: Bundle, forms: Forms, options: BuildOptions) -> None:
    """Engine files whose content is only the names of the engine and its form."""
    for name, form in forms.items():
        path = engine_path(bundle.root, HERE, form, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"{name} {form}".encode()
        path.write_bytes(content)
        entry = bundle.manifest.engines[name]
        spec = BuildSpec(
            engine=name,
            form=form,
            source_sha256=entry.files[form].sha256,
            machine=HERE,
            profile=profile_of(entry, options.batch),
            options=options,
        )
        facts = EngineFacts(
            spec=spec,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            layers=Layers(all=1, int8=0, fp16=0, fp32=1),
            seconds=0.0,
            tools={},
        )
        facts_path(path).write_bytes(msgspec.json.encode(with_code(facts)))


def find_own(bundle: Bundle, here: BuildMachine, forms: Forms) -> Found:
    """The engines that `here` may load, of those that were built by this user."""
    return find_engines(bundle, here, forms, trusted_by(bundle, None))


class Machine:
    """Devices as they are opened, and what the next ones are to be."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.devices: list[RecordingDevice] = []
        self.seed = 0
        self.options: dict[str, Any] = {}
        self.refuse: str | None = None
        self.instead: dict[str, str] = {}
        """Engines whose files have another one's network."""

    def open(self) -> RecordingDevice:
        if self.refuse:
            raise DeviceError(self.refuse)
        device = RecordingDevice(self._onnx, self.seed, **self.options)
        self.devices.append(device)
        return device

    def _onnx(self, content: bytes) -> bytes:
        name, form = content.decode().split()[:2]
        name = self.instead.get(name, name)
        return self.bundle.read_engine(name, form)  # type: ignore[arg-type]

    @property
    def device(self) -> RecordingDevice:
        return self.devices[-1]


def composer_of(machine: Machine) -> Composer:
    bundle = machine.bundle
    forms: Forms = dict.fromkeys(ENGINES, "fp32")
    found = find_own(bundle, HERE, forms)
    assert not found.missing
    backend = tensorrt.TensorRTBackend(found.engines, bundle.manifest.engines, machine.open)
    return Composer(backend, bundle.manifest)


def backend_of(composer: Composer) -> tensorrt.TensorRTBackend:
    assert isinstance(composer.backend, tensorrt.TensorRTBackend)
    return composer.backend


def inputs(states: Sequence[State], seed: int = 0) -> Inputs:
    random = np.random.default_rng(seed)
    return [
        {m: random.standard_normal((3, 64, 32)).astype(np.float32) for m in state.available}
        for state in states
    ]


def same(found: NDArray[np.float32], runtime: Runtime, samples: Inputs) -> None:
    expected = runtime.composer.run_tensors(samples)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def program_of(composer: Composer, state: State) -> streams.StreamProgram:
    """The program of one sample."""
    bound = composer._programs[state,]
    assert isinstance(bound.program, streams.StreamProgram)
    return bound.program
