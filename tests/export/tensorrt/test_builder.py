"""What the process that builds does, in this one, with a TensorRT that is played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from export.tensorrt.request import BuildError, BuildProgress
from runtime import BundleError
from runtime.backends.tensorrt.machine import (
    BuildOptions,
)
from tests.export.tensorrt.parts import CMFT, replace_model, request_for, unsupported


def test_what_the_parser_refuses_is_told_by_node(
    root: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    unsupported(root, CMFT)
    with pytest.raises(BuildError, match=r"^node node_relu \(Det\): unsupported node$"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)
    replace_model(root, CMFT, b"no ONNX")
    with pytest.raises(BundleError, match=r"cmft_rgb2nir\.onnx: not an ONNX model"):
        worker.builder.build(request_for(root, tmp_path, CMFT), lambda _: None)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("weak", "no strongly typed network"),
        ("no-profile", "refuses the profile"),
        ("no-builder", "does not start: CUDA initialization failure with error: 35"),
        ("none", "^Error Code 10: no implementation for node X; what follows from that$"),
    ],
)
def test_a_tensorrt_that_refuses_says_why(
    mode: str, reason: str, bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    worker.fake.MODE.append(mode)
    with pytest.raises(BuildError, match=reason):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    assert not (tmp_path / "out.engine").exists()


def test_the_first_errors_and_the_last_are_told(worker: SimpleNamespace) -> None:
    log = worker.builder.Log()
    assert log.reason("nothing was said") == "nothing was said"
    for text in ("a", "a", "[file.cpp::function::12] Error Code 1:\n b", "c", "d"):
        log.log(worker.fake.ILogger.ERROR, text)
    log.log(worker.fake.ILogger.WARNING, "e")
    assert log.reason("") == "a; Error Code 1: b; d"


def test_a_silent_refusal_has_a_reason_too(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.fake.Builder, "build_serialized_network", lambda *_: None)
    with pytest.raises(BuildError, match="does not say why"):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    monkeypatch.setattr(worker.fake.OnnxParser, "parse", lambda *_: False)
    with pytest.raises(BuildError, match="cannot parse it"):
        worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)


def test_options_reach_the_builder(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    trt = worker.fake
    request = request_for(bundle_path, tmp_path)

    def config(**options: Any) -> Any:
        spec = msgspec.structs.replace(request.spec, options=BuildOptions(**options))
        worker.builder.build(msgspec.structs.replace(request, spec=spec), lambda _: None)
        return trt.Builder.last.config

    plain = config()
    assert plain.builder_optimization_level == 3
    assert plain.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert plain.flags == set()  # FP32 is FP32: TensorRT's default has TF32
    assert plain.pools == {}
    assert not hasattr(plain, "hardware_compatibility_level")
    assert plain.profiles[0].shapes == request.spec.profile
    full = config(
        opt_level=5, workspace=64, tf32=True, version_compatible=True, hardware_compatible=True
    )
    assert full.builder_optimization_level == 5
    assert full.flags == {trt.BuilderFlag.TF32, trt.BuilderFlag.VERSION_COMPATIBLE}
    assert full.pools == {trt.MemoryPoolType.WORKSPACE: 64 * 2**20}
    assert full.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS


def test_a_tensorrt_without_flags_needs_none(
    bundle_path: Path, tmp_path: Path, worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.fake, "NetworkDefinitionCreationFlag", SimpleNamespace())
    monkeypatch.setattr(worker.fake, "BuilderFlag", SimpleNamespace())
    monkeypatch.setattr(
        worker.fake.Builder, "create_network", lambda _, flags: worker.fake.Network()
    )
    monkeypatch.setattr(worker.fake.Config, "__init__", lambda self: vars(self).update(profiles=[]))
    monkeypatch.setattr(worker.fake.Config, "set_timing_cache", lambda *_: False)
    monkeypatch.setattr(worker.fake.Config, "get_timing_cache", lambda _: None)
    worker.builder.build(request_for(bundle_path, tmp_path), lambda _: None)
    assert not (tmp_path / "timing.cache").exists()


@pytest.mark.parametrize("known", [None, b"known", b"damaged", b"foreign"])
def test_the_timing_cache_is_used_and_renewed(
    known: bytes | None, bundle_path: Path, tmp_path: Path, worker: SimpleNamespace
) -> None:
    request = request_for(bundle_path, tmp_path)
    cache = Path(request.timing_cache)
    if known is not None:
        cache.write_bytes(known)
    worker.builder.build(request, lambda _: None)
    assert cache.read_bytes() == (b"known+" if known == b"known" else b"+")


def test_phases_within_phases_make_one_number(worker: SimpleNamespace) -> None:
    told: list[BuildProgress] = []
    monitor = worker.builder.Monitor(told.append)
    monitor.phase_start("all", None, 2)
    monitor.phase_start("one", "all", 2)
    monitor.step_complete("one", 0)
    monitor.phase_start("inner", "one", 10)
    monitor.phase_start("empty", "inner", 0)
    for step in range(10):
        assert monitor.step_complete("inner", step)
    monitor.phase_finish("inner")
    monitor.step_complete("one", 1)
    monitor.phase_finish("one")
    monitor.step_complete("all", 0)
    monitor.step_complete("never begun", 7)
    monitor.phase_start("two", "all", 1000)
    monitor.step_complete("two", 0)  # too little to be told
    monitor.step_complete("two", 999)
    monitor.phase_finish("never begun")
    done = [p.done for p in told]
    assert done == sorted(done)
    assert done[0] == 0.25
    assert done[-1] == 1.0
    assert 0.275 in done
    assert 0.5 in done
