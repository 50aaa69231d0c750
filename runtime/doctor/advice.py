"""What to install or do for more, as commands to copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from runtime.doctor.software import PROVIDERS, Software
from runtime.machine import Machine

JETPACK_6 = " --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"
"""NVIDIA's index of packages for JetPack 6."""

OTHER_GPUS = "no kernel image"
"""What CUDA says where a program has no kernels for this GPU."""

HEADERS = "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include"
VENV = "python3 -m venv --system-site-packages .venv"

NEWEST_CUDA = 13
"""Of today's packages of ONNX Runtime and TensorRT."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What could be had, and the commands for it."""

    what: str
    commands: tuple[str, ...]


def advise(
    machine: Machine, software: Software, backends: Mapping[str, str | None]
) -> Iterator[Advice]:
    """What would make more backends run here, `backends` being those there are with the reason
    why one cannot."""
    jetson = machine.jetson is not None or (machine.gpu is not None and machine.gpu.integrated)
    if machine.gpu is None:
        yield from _driver(machine)
    else:
        if backends.get("ort-cuda") is not None:
            yield _jetson_cuda(machine, software) if jetson else _cuda(machine, software)
        yield from _tensorrt(software, jetson)
    if machine.jetson is not None and machine.jetson.clocks_locked is False:
        yield Advice(
            what="Clocks change with the load. To measure, hold them:",
            commands=("sudo jetson_clocks",),
        )


def _driver(machine: Machine) -> Iterator[Advice]:
    if machine.jetson is not None:
        yield Advice(
            what="CUDA does not see this Jetson's GPU. A container is to be started with",
            commands=("docker run --runtime nvidia --gpus all ...",),
        )
    elif machine.nvidia_card and machine.container:
        yield Advice(
            what="This container was not given the NVIDIA card. Start it with",
            commands=("docker run --gpus all ...",),
        )
    elif machine.nvidia_card:
        yield Advice(
            what="The NVIDIA card has no driver. On Ubuntu:",
            commands=("sudo ubuntu-drivers install",),
        )


def _jetson_cuda(machine: Machine, software: Software) -> Advice:
    release = (machine.jetson and machine.jetson.jetpack) or ""
    lacking = PROVIDERS["ort-cuda"] not in software.providers
    if lacking and release.startswith("6."):
        return Advice(
            what="ONNX Runtime with CUDA, in the place of the one without:",
            commands=("pip uninstall onnxruntime", f"pip install onnxruntime-gpu{JETPACK_6}"),
        )
    if lacking or OTHER_GPUS in (software.providers[PROVIDERS["ort-cuda"]] or ""):
        # PyPI's is for other ARM machines: it has no kernels for a Jetson.
        return Advice(
            what="ONNX Runtime with CUDA would have to be built for this Jetson: see "
            "docs/jetson.md. TensorRT does without.",
            commands=(),
        )
    return Advice(
        what="CUDA and cuDNN for ONNX Runtime come with JetPack:",
        commands=("sudo apt install nvidia-jetpack",),
    )


def _cuda(machine: Machine, software: Software) -> Advice:
    if PROVIDERS["ort-cuda"] not in software.providers:
        return Advice(
            what="ONNX Runtime with CUDA, in the place of the one without:",
            commands=("pip uninstall onnxruntime", "pip install onnxruntime-gpu"),
        )
    newer = ""
    if machine.cuda is not None and int(machine.cuda.partition(".")[0]) < NEWEST_CUDA:
        newer = f" (for CUDA {NEWEST_CUDA}: update the driver, which is for {machine.cuda})"
    return Advice(
        what=f"CUDA and cuDNN for ONNX Runtime{newer}:",
        commands=('pip install ".[gpu]"',),
    )


def _tensorrt(software: Software, jetson: bool) -> Iterator[Advice]:
    toolkit = () if jetson else ("sudo apt install cuda-toolkit",)
    if software.tensorrt.version is None and jetson:
        yield Advice(
            what="TensorRT comes with JetPack, for the system's Python:",
            commands=("sudo apt install python3-libnvinfer", VENV),
        )
    elif software.tensorrt.version is None:
        yield Advice(
            what="TensorRT; PyCUDA is compiled for it, with CUDA's headers:",
            commands=(*toolkit, HEADERS, 'pip install ".[tensorrt]"'),
        )
        return
    if software.pycuda.version is None:
        yield Advice(
            what="PyCUDA runs TensorRT's engines. It is compiled, with CUDA's headers:",
            commands=(*toolkit, HEADERS, "pip install pycuda"),
        )
    if software.cuda_python.version is None:
        yield Advice(what="cuda-python adds CUDA graphs:", commands=("pip install cuda-python",))


def advise_bundle(
    path: str,
    precisions: Mapping[str, str | None],
    lacking: bool,
    backends: Mapping[str, str | None],
) -> Iterator[Advice]:
    """What would make more of the bundle at `path`.

    Args:
        path: of the bundle.
        precisions: that it has, each with the reason why it cannot run here.
        lacking: whether TensorRT engines for this machine are missing.
        backends: as `advise` has them.
    """
    if lacking and backends.get("tensorrt", "") is None:
        yield Advice(
            what="TensorRT engines for this machine, in the bundle's default precision:",
            commands=(f"denet build {path}",),
        )
    small = [why for name, why in precisions.items() if name.startswith(("int8", "mixed"))]
    if None not in small:
        yield Advice(
            what="The bundle has no INT8 for this machine. To make it:",
            commands=(f"denet calibrate {path} DATA",),
        )
