"""What to do for more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.backends import BACKENDS
from runtime.doctor.advice import advise, advise_bundle
from runtime.doctor.software import Package, Software
from runtime.machine import read_machine
from runtime.machine.gpu import Gpu
from tests.runtime.doctor.machines import ALL, CPU_ONLY, ORIN, changed, empty
from tests.runtime.machine.machines import RTX, become, desktop, orin, thor, write


def no_card(root: Path) -> Path:
    """A PC in a container that was not given its card."""
    return write(desktop(root), {".dockerenv": ""})


NO_CUDA = dict.fromkeys(("tensorrt", "ort-cuda"), "a reason") | {"ort-cpu": None}


@pytest.mark.parametrize(
    ("files", "gpu", "cuda", "found", "commands"),
    [
        (empty, None, None, CPU_ONLY, ()),
        (desktop, None, None, CPU_ONLY, ("sudo ubuntu-drivers install",)),
        (no_card, None, None, CPU_ONLY, ("docker run --gpus all ...",)),
        (
            desktop,
            RTX,
            "13.0",
            changed(ALL, tensorrt=Package(reason="not installed")),
            (
                'pip install ".[gpu]"',
                "sudo apt install cuda-toolkit",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                'pip install ".[tensorrt]"',
            ),
        ),
        (
            desktop,
            RTX,
            "13.0",
            changed(ALL, providers={}, pycuda=Package(reason="not installed")),
            (
                "pip uninstall onnxruntime",
                "pip install onnxruntime-gpu",
                "sudo apt install cuda-toolkit",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                "pip install pycuda",
            ),
        ),
        (
            orin,
            ORIN,
            "12.6",
            CPU_ONLY,
            (
                "pip uninstall onnxruntime",
                "pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126",
                "sudo apt install python3-libnvinfer",
                "python3 -m venv --system-site-packages .venv",
                "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include",
                "pip install pycuda",
                "pip install cuda-python",
            ),
        ),
        (orin, ORIN, "12.6", ALL, ("sudo apt install nvidia-jetpack",)),
        (orin, None, None, CPU_ONLY, ("docker run --runtime nvidia --gpus all ...",)),
    ],
    ids=[
        "a PC without a GPU",
        "a card without a driver",
        "a container without the card",
        "a PC without CUDA's libraries and TensorRT",
        "a PC with ONNX Runtime for CPUs and without PyCUDA",
        "a bare Jetson",
        "a Jetson without cuDNN",
        "a Jetson's container without its GPU",
    ],
)
def test_advice(
    files: Callable[[Path], Path],
    gpu: Gpu | None,
    cuda: str | None,
    found: Software,
    commands: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, gpu, cuda)
    machine = read_machine(files(tmp_path))
    advice = advise(machine, found, NO_CUDA)
    assert tuple(command for each in advice for command in each.commands) == commands


def test_where_all_is_well_there_is_no_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, RTX, "13.0")
    well: dict[str, str | None] = dict.fromkeys(BACKENDS[1:])
    assert [*advise(read_machine(desktop(tmp_path)), ALL, well)] == []
    assert [*advise_bundle("b.denet", {"fp32": None, "int8-vnni": None}, False, well)] == []


@pytest.mark.parametrize("providers", [{}, {"CUDAExecutionProvider": "no kernel image is there"}])
def test_jetpack_7_has_no_onnx_runtime_with_cuda(
    providers: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, Gpu("NVIDIA Thor", (11, 0), 20, True))
    found = changed(ALL, providers=providers)
    advice = [*advise(read_machine(thor(tmp_path)), found, NO_CUDA)]
    assert "would have to be built for this Jetson" in advice[0].what
    assert [each.commands for each in advice] == [(), ("sudo jetson_clocks",)]


def test_a_driver_that_is_too_old_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, RTX, "12.4")
    (advice,) = advise(read_machine(desktop(tmp_path)), ALL, NO_CUDA)
    assert "update the driver, which is for 12.4" in advice.what


def test_clocks_that_change_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, ORIN)
    policy = "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"
    machine = read_machine(write(orin(tmp_path), {policy: 729600}))
    (advice,) = advise(machine, ALL, dict.fromkeys(BACKENDS[1:]))
    assert advice.commands == ("sudo jetson_clocks",)
