"""The form of an event."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from runtime.node.events import (
    Box,
    Condition,
    Embedding,
    Event,
    EventIds,
    EventMatch,
)
from runtime.node.health import Verdict
from tests.paths import ROOT

# The event


def test_an_event_is_plain_json() -> None:
    vector = np.random.default_rng(0).standard_normal(6).astype(np.float32)
    made = Event(
        id="a-1",
        node="a",
        time=1.5,
        kind="embedding",
        state="rgb",
        verdicts={
            "rgb": Condition.of(Verdict("rgb", None, "")),
            "tir": Condition.of(Verdict("tir", "frozen", "repeats for 5 frames")),
        },
        box=Box(1, 2, 3, 4),
        embedding=Embedding.of(vector, "float16"),
        match=EventMatch(identity="alice", score=3.0, cosine=0.9, false_match_rate=1e-3),
        checkpoint="c" * 64,
        precisions={"branch_rgb": "int8"},
    )
    text = msgspec.json.encode(made)
    facts = json.loads(text)
    assert facts["verdicts"]["tir"] == {
        "healthy": False,
        "fault": "frozen",
        "reason": "repeats for 5 frames",
    }
    assert facts["box"] == {"left": 1, "top": 2, "right": 3, "bottom": 4}
    # As a receiver in another language reads it.
    numbers = np.frombuffer(base64.b64decode(facts["embedding"]["data"]), "<f2")
    np.testing.assert_array_equal(numbers, vector.astype(np.float16))
    assert msgspec.json.decode(text, type=Event) == made


@pytest.mark.parametrize(("kind", "bytes_each"), [("float16", 2), ("float32", 4)])
def test_an_embedding_comes_back(kind: Any, bytes_each: int) -> None:
    vector = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    vector /= np.linalg.norm(vector)
    packed = Embedding.of(vector, kind)
    assert (packed.dim, packed.type, len(packed.data)) == (512, kind, 512 * bytes_each)
    assert abs(float(packed.vector() @ vector) - 1) < 1e-3
    if kind == "float32":
        np.testing.assert_array_equal(packed.vector(), vector)


def test_ids_differ_within_a_run_and_between_runs() -> None:
    runs = [EventIds("gate") for _ in range(50)]
    ids = [run.next() for run in runs for _ in range(20)]
    assert len(set(ids)) == 1000
    assert all(name.startswith("gate-") for name in ids)


def test_the_line_in_the_documentation_is_an_event() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^(\{\"id\".*\})$", text, re.MULTILINE)
    decoded = msgspec.json.decode(example, type=Event)
    # Nothing is left out, and nothing is in it that is no field.
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example)
    assert decoded.embedding is not None
    assert len(decoded.embedding.vector()) == decoded.embedding.dim


# The outbox


def test_events_need_no_torch() -> None:
    script = (
        "import sys, runtime.node.events, runtime.node.status\n"
        "print('torch' in sys.modules, 'paho' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert out.stdout.split() == ["False", "False"]
