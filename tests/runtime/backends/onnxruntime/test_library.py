"""ONNX Runtime does its work and nothing beside it: no file, no name of a host that is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

PROGRAM = """
import os, sys, time
before = os.environ.get("ORT_DISABLE_TELEMETRY")
for name in sys.argv[1:]:
    __import__(name)
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.smallest import RELU
assert os.environ.get("ORT_DISABLE_TELEMETRY") == before
session = ort.InferenceSession(RELU)
session.run(None, {session.get_inputs()[0].name: __import__("numpy").zeros(1, "float32")})
print(len(os.listdir("/proc/self/task")))
"""

ASKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    FILE *file = fopen(getenv("ASKED"), "a");
    if (file) { fprintf(file, "%s\\n", node ? node : ""); fclose(file); }
    return EAI_FAIL;
}
"""
"""Stands before the C library's resolver, and writes down what is asked."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, preloads a library")


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("resolver")
    (folder / "asks.c").write_text(ASKS)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", folder / "asks.so", folder / "asks.c"], check=True
    )
    return folder / "asks.so"


@pytest.mark.parametrize("value", [None, "0", "1", "false"])
@pytest.mark.parametrize("first", [(), ("calibration.int8",)], ids=["runtime", "calibration"])
def test_nothing_is_queued_and_nobody_is_asked(
    value: str | None, first: tuple[str, ...], tmp_path: Path, resolver: Path
) -> None:
    unset = ("ORT_DISABLE_TELEMETRY", "CI", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    home, asked = tmp_path / "home", tmp_path / "asked"
    home.mkdir()
    environment = {name: x for name, x in os.environ.items() if name not in unset} | {
        "HOME": str(home),
        "LD_PRELOAD": str(resolver),
        "ASKED": str(asked),
        "PYTHONPATH": str(ROOT),
    }
    if value is not None:
        environment["ORT_DISABLE_TELEMETRY"] = value
    subprocess.run([sys.executable, "-c", PROGRAM, *first], env=environment, check=True)
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not asked.exists()
