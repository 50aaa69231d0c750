"""What ONNX Runtime notes of a session that it profiles: the layers of each run, and when they ran.

The file is a list of events in the trace format of Chrome, times in microseconds. Of these, the
nodes' (`NAME_kernel_time`) come before the run that they were part of (`model_run`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from denet.reading import read_json
from runtime.backends.base import BackendError, LayerRun

KERNEL = "_kernel_time"
"""What ends the name of a layer's event."""

RUN = "model_run"

LIMIT = 1 << 30
"""Bytes of such a file; ONNX Runtime itself stops after a million events."""


def read_layers(path: Path) -> list[tuple[LayerRun, ...]]:
    """The layers of each run in the file at `path`, in the order in which they began.

    Raises:
        BackendError: it cannot be read, or has another form.
    """
    events = read_json(path, BackendError, kind=list, limit=LIMIT)
    runs: list[tuple[LayerRun, ...]] = []
    layers: list[dict[str, Any]] = []
    try:
        for event in events:
            if event["name"] == RUN:
                layers.sort(key=lambda each: each["ts"])
                runs.append(tuple(_layer(each, event["ts"]) for each in layers))
                layers = []
            elif event["name"].endswith(KERNEL):
                layers.append(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise BackendError(
            f"{path}: not what ONNX Runtime writes of a session that it profiles: {error!r}"
        ) from None
    return runs


def _layer(event: dict[str, Any], began: float) -> LayerRun:
    return LayerRun(
        event["name"].removesuffix(KERNEL),
        event["args"]["op_name"],
        (event["ts"] - began) / 1e6,
        event["dur"] / 1e6,
    )
