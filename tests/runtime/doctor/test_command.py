"""`denet doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnxruntime as ort

from runtime.backends import BACKENDS
from runtime.bundle.forms import cpu_platforms
from runtime.doctor import Diagnosis, diagnose
from runtime.doctor.software import Package
from runtime.machine import Machine
from tests.command import denet, refused
from tests.runtime.doctor.machines import ALL, CPU_ONLY, ORIN, changed, empty, shown
from tests.runtime.machine.machines import orin


def test_the_command_on_this_machine() -> None:
    result = denet("doctor")
    assert result.exit_code == 0, result.output
    for word in ("CPU", *BACKENDS[1:], ort.__version__, "int8-avx2"):
        assert word in result.output


def test_a_demand_that_cannot_be_met_is_one_line(
    bundle_path: Path, played: Callable[..., Machine]
) -> None:
    played(empty, None, None, CPU_ONLY)
    result = denet("doctor", "--backend", "ort-cuda")
    refused(result, "ort-cuda cannot run here: no NVIDIA GPU was found")
    assert "Machine" in result.stdout
    refused(denet("doctor", bundle_path, "--precision", "mixed"), "no engines in precision 'mixed'")
    refused(denet("doctor", "--backend", "gpu"), "unknown backend 'gpu'")
    refused(denet("doctor", "nothing.denet"), "nothing.denet")


def test_json_has_these_fields(bundle_path: Path, played: Callable[..., Machine]) -> None:
    played(orin, ORIN, "12.6", CPU_ONLY)
    result = denet("doctor", bundle_path, "--backend", "ort-cpu", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert {name: sorted(value) for name, value in facts.items() if isinstance(value, dict)} == {
        "machine": sorted(Machine.__struct_fields__),
        "software": [
            "cuda_python",
            "onnxruntime",
            "providers",
            "pycuda",
            "tensorrt",
            "tensorrt_backend",
        ],
        "backends": sorted(BACKENDS[1:]),
        "bundle": ["chosen", "engines", "path", "precisions"],
    }
    assert set(facts) == set(Diagnosis.__struct_fields__)
    assert facts["int8"] == [f"int8-{target}" for target in cpu_platforms()]
    assert facts["bundle"]["chosen"]["reason"] == "asked for by name"
    assert facts["software"]["pycuda"] == {"version": None, "reason": "not installed"}
    assert facts["bundle"]["engines"] == {}
    assert facts["advice"][0].keys() == {"what", "commands"}
    assert msgspec.convert(facts, Diagnosis).machine.gpu == ORIN


def test_it_reads_well_in_80_columns(played: Callable[..., Machine]) -> None:
    reason = "libnvinfer.so.10: cannot open shared object file: No such file or directory"
    broken = changed(CPU_ONLY, tensorrt=Package(reason=reason))
    played(orin, ORIN, "12.6", broken)
    text = shown(diagnose())
    command = "pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"
    assert [line for line in text.splitlines() if len(line) > 80] == [f"      {command}"]
    assert "broken: libnvinfer.so.10" in text
    assert "MAXN_SUPER" in text
    stand_in = Package(version="11.4.0")
    played(empty, None, None, changed(ALL, tensorrt=stand_in, tensorrt_backend="TensorRT-RTX 1.7"))
    assert "11.4.0\n                   TensorRT-RTX 1.7\n" in "\n".join(
        line.rstrip() for line in shown(diagnose()).splitlines()
    )
    assert "JetPack 6.2" in text
