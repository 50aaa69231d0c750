"""What a TensorRT engine is built for: GPU, platform, TensorRT; and where else it may be loaded."""

from __future__ import annotations

import platform
import re
from types import ModuleType

import msgspec

from denet.errors import DenetError
from denet.packages import absent
from runtime.machine.gpu import find_gpu

AMPERE = (8, 0)

HIGHER_MAJOR = {10: 11}
"""TensorRT loads a version-compatible engine of an earlier release of its major; of another major,
only TensorRT 11 does, those of 10 (NVIDIA's support matrix of 11.4.1)."""

INSTALL = (
    "on a Jetson it comes with JetPack (apt install python3-libnvinfer, and an environment made "
    "with --system-site-packages); elsewhere: pip install tensorrt"
)


class TensorRTMissingError(DenetError):
    """TensorRT cannot be imported; the message says what to install."""


class BuildOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How engines are built; an engine that was built otherwise is stale.

    Attributes:
        batch: least, typical and largest batch.
        opt_level: 0 to 5, how long TensorRT looks for fast kernels.
        workspace: MiB of scratch memory that a kernel may take; None leaves it to TensorRT, which
            allows all there is.
        tf32: let FP32 products drop 13 bits of their factors, on GPUs that can.
        version_compatible: for later releases of TensorRT, too.
        hardware_compatible: for other GPUs of the Ampere generation or later, too.
    """

    batch: tuple[int, int, int] = (1, 1, 16)
    opt_level: int = 3
    workspace: int | None = None
    tf32: bool = False
    version_compatible: bool = False
    hardware_compatible: bool = False


class BuildMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine that an engine is for.

    Attributes:
        gpu: its name; None where it was built without one, which no machine can run.
        compute_capability: such as (8, 7).
        multiprocessors: of the GPU.
        integrated: whether the GPU shares the CPU's memory, as on a Jetson.
        platform: such as "linux-aarch64".
        tensorrt: the version that `tensorrt` gives.
        backend: what is behind it: "TensorRT 10.3.0", or what stands in for that.
    """

    gpu: str | None
    compute_capability: tuple[int, int] | None
    multiprocessors: int | None
    integrated: bool
    platform: str
    tensorrt: str
    backend: str

    @property
    def name(self) -> str:
        """The name of its directory: "orin-cc8.7-16sm-linux-aarch64-tensorrt-10.3.0"."""
        return _slug(f"{self._gpu_name}-{self.platform}-{self.backend}")

    @property
    def _gpu_name(self) -> str:
        if self.compute_capability is None:
            return "no-gpu"
        major, minor = self.compute_capability
        return f"{self.gpu}-cc{major}.{minor}-{self.multiprocessors}sm"

    def describe(self) -> str:
        """For a person: "Orin (compute capability 8.7, 16 multiprocessors), TensorRT 10.3.0"."""
        if self.compute_capability is None:
            return f"no GPU, {self.backend}"
        major, minor = self.compute_capability
        return (
            f"{self.gpu} (compute capability {major}.{minor}, {self.multiprocessors} "
            f"multiprocessors), {self.backend}"
        )


def load_tensorrt() -> ModuleType:
    """The module `tensorrt`.

    Raises:
        TensorRTMissingError: it is not installed, or its libraries cannot be loaded.
    """
    try:
        import tensorrt
    except ModuleNotFoundError as error:
        if not absent(error, "tensorrt"):
            raise TensorRTMissingError(f"TensorRT cannot be loaded: {error}") from None
        raise TensorRTMissingError(f"TensorRT is not installed: {INSTALL}") from None
    except (ImportError, OSError) as error:
        raise TensorRTMissingError(f"TensorRT cannot be loaded: {error}") from None
    module: ModuleType = tensorrt
    return module


def this_machine(trt: ModuleType) -> BuildMachine:
    """This machine, with the module `tensorrt`."""
    gpu = find_gpu()
    version = str(trt.__version__)
    return BuildMachine(
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        multiprocessors=gpu.multiprocessors if gpu else None,
        integrated=gpu is not None and gpu.integrated,
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        tensorrt=version,
        backend=str(getattr(trt, "__backend__", f"TensorRT {version}")),
    )


def why_foreign(built: BuildMachine, options: BuildOptions, here: BuildMachine) -> str | None:
    """Why an engine built for `built` must not be loaded on `here`; None where it may."""
    if built.platform != here.platform:
        return f"it was built on {built.platform}, and this is {here.platform}"
    if built.backend != here.backend and not (
        options.version_compatible and _version_loads(built.backend, here.backend)
    ):
        return f"it was built by {built.backend}, and this is {here.backend}"
    if _gpu(built) != _gpu(here) and not (
        options.hardware_compatible and _from_ampere(built) and _from_ampere(here)
    ):
        return f"it was built for {built.describe()}, and this is {here.describe()}"
    return None


def _gpu(machine: BuildMachine) -> tuple[object, ...]:
    return machine.gpu, machine.compute_capability, machine.multiprocessors, machine.integrated


def _from_ampere(machine: BuildMachine) -> bool:
    """Whether NVIDIA's hardware compatibility covers it: Ampere or later, and not a Jetson."""
    capability = machine.compute_capability
    return capability is not None and capability >= AMPERE and not machine.integrated


def _version_loads(built: str, here: str) -> bool:
    old_kind, old = _backend_version(built)
    new_kind, new = _backend_version(here)
    if old_kind != new_kind or not old or not new:
        return False
    return (old[0] == new[0] and old <= new) or HIGHER_MAJOR.get(old[0]) == new[0]


def _backend_version(backend: str) -> tuple[str, tuple[int, ...]]:
    kind, _, version = backend.rpartition(" ")
    numbers = re.match(r"\d+(\.\d+)*", version)
    return kind, tuple(int(n) for n in numbers[0].split(".")) if numbers else ()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")
