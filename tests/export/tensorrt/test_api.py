"""What is used of TensorRT exists in all releases that are supported."""

from __future__ import annotations

import ast
import json

import pytest

from tests.paths import ROOT

KIT = ROOT.parent / "shared" / "trt-cpu"

CLASSES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "flags": "NetworkDefinitionCreationFlag",
    "layer": "ILayer",
    "maker": "ILayer",
    "monitor": "IProgressMonitor",
    "network": "INetworkDefinition",
    "output": "ITensor",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
    "factor": "ITensor",
    "cache": "ITimingCache",
    "cuda_engine": "ICudaEngine",
    "levels": "HardwareCompatibilityLevel",
    "parser_error": "ParserError",
    "inspector": "EngineInspector",
}
"""What the variables of these names are, in the modules that use TensorRT."""

KEPT = {
    "_trt": "",
    "trt": "",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
}
"""The same of what objects keep."""

RESULTS = {
    "get_layer": "ILayer",
    "get_input": "ITensor",
    "get_output": "ITensor",
    "get_error": "ParserError",
    "create_builder_config": "IBuilderConfig",
    "get_timing_cache": "ITimingCache",
}

USERS = (
    "export/tensorrt/build",
    "export/tensorrt/builder",
    "export/tensorrt/proof",
    "runtime/backends/tensorrt/cuda",
    "runtime/backends/tensorrt/machine",
)


def used(source: str) -> set[tuple[str, str]]:
    """(class, name) of each attribute of TensorRT that `source` uses; "" for the module."""

    def class_of(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return "" if node.id == "trt" else CLASSES.get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return RESULTS.get(node.func.attr)
        if isinstance(node, ast.Attribute) and class_of(node.value) == "":
            return node.attr
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            return KEPT.get(node.attr)
        return None

    return {
        (owner, node.attr)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and (owner := class_of(node.value)) is not None
    }


def lacking(names: set[tuple[str, str]], version: str) -> set[tuple[str, str]]:
    """Those of `names` that a release of TensorRT does not have."""
    api = json.loads((KIT / f"api-{version}.json").read_text())
    module = {"__version__", *api["classes"], *api["constants"], *api["functions"]}

    def members(owner: str) -> set[str]:
        kind = api["classes"].get(owner, {})
        sections = ("methods", "properties", "enum", "constants", "enums")
        return {"__init__"}.union(*(kind.get(section, ()) for section in sections))

    return {(o, name) for o, name in names if name not in (members(o) if o else module)}


@pytest.mark.skipif(not KIT.is_dir(), reason="the lists of TensorRT's API are not here")
@pytest.mark.parametrize("version", ["10.3", "11.4"])
def test_what_is_used_of_tensorrt_exists(version: str) -> None:
    names: set[tuple[str, str]] = set()
    for module in USERS:
        names |= used((ROOT / f"{module}.py").read_text())
    assert len(names) > 50
    assert {("OnnxParser", "parse"), ("IBuilderConfig", "progress_monitor")} <= names
    assert {("Runtime", "deserialize_cuda_engine"), ("", "ILogger")} <= names
    assert {("ICudaEngine", "create_execution_context"), ("TensorIOMode", "INPUT")} <= names
    assert {("IExecutionContext", "execute_async_v3")} <= names
    assert {("ILayer", "get_input"), ("ParserError", "node_operator"), ("", "Builder")} <= names
    assert not lacking(names, version)
    overridden = {("ILogger", "log")} | {
        ("IProgressMonitor", name) for name in ("phase_start", "step_complete", "phase_finish")
    }
    assert not lacking(overridden, version)


@pytest.mark.skipif(not KIT.is_dir(), reason="the lists of TensorRT's API are not here")
def test_that_test_finds_what_is_in_one_release_only() -> None:
    names = used("config.int8_calibrator = trt.BuilderFlag.FP16; network.add_squeeze(trt.fp4)")
    assert len(names) == 5
    assert lacking(names, "11.4") == {
        ("IBuilderConfig", "int8_calibrator"),
        ("BuilderFlag", "FP16"),
    }
    assert lacking(names, "10.3") == {("INetworkDefinition", "add_squeeze"), ("", "fp4")}
