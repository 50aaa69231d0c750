"""Batches under a deadline, and engines and galleries that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR, Graph, State
from runtime.gallery import GalleryError
from runtime.node import embedder
from runtime.node.announcer import Announcer, Sighting
from runtime.node.backlog import Account
from runtime.node.embedder import NOT_EMBEDDED, Embedder
from runtime.node.serving import Serving
from runtime.node.settings import BatchSettings
from runtime.runtime import Runtime
from tests.runtime.node.parts import (
    MODALITIES,
    STATES,
    OneLane,
    Remembered,
    crop,
    ignore,
    outputs,
)


class Clock:
    """A clock that goes on only when something waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(embedder, "time", SimpleNamespace(monotonic=lambda: self.now))

    def __call__(self) -> float:
        return self.now


class Embeds:
    """A runtime that takes as long as it is told, and remembers its batches."""

    max_batch = 16
    dim = 4
    graph = RGB_NIR_TIR

    def __init__(self, clock: Callable[[float], None] = ignore) -> None:
        self.work = clock
        self.batches: list[list[State]] = []
        self.fail = ""
        self.closed = False
        self.forms = Counter[str]()
        self.bundle = SimpleNamespace(
            root="b",
            manifest=SimpleNamespace(
                head=SimpleNamespace(dim=4), checkpoint_sha256="c", projection_digest=""
            ),
        )
        self.backend = self.variant = "fake"

    def embed_batch(self, samples: list[Any]) -> Any:
        assert not self.closed
        if self.fail:
            raise RuntimeError(self.fail)
        self.batches.append([RGB_NIR_TIR.state(sample) for sample in samples])
        self.work(len(samples))
        return np.tile(np.array([1, 0, 0, 0], np.float32), (len(samples), 1))

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def made(
    runtime: Embeds, backlog: OneLane, sink: Remembered, said: list[str], **batches: Any
) -> Embedder:
    serving = Serving(runtime, "d" * 64, None, "")
    announcer = Announcer("n", sink, "float16", ignore)
    return Embedder(
        serving, backlog, BatchSettings(**batches), announcer, said.append, outputs(announcer)
    )


def test_a_batch_waits_only_as_long_as_its_oldest_crop_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    backlog = OneLane(100)
    runtime = Embeds(lambda _n: setattr(clock, "now", clock.now + 0.03))
    stage = made(runtime, backlog, Remembered(), [], largest=4, deadline=0.1)
    assert stage._patience(crop(99.99)) == pytest.approx(0.09)
    backlog.put(crop(99.99))
    backlog.close()
    stage.run(ignore)
    # Now it is known how long a batch takes.
    assert stage._patience(crop(clock.now)) == pytest.approx(0.07)
    assert stage._patience(crop(clock.now - 0.2)) < 0


def test_a_batch_mixes_states_and_tells_of_each(runtime: Runtime) -> None:
    backlog = OneLane(100)
    sink, said = Remembered(), []
    serving = Serving(runtime, "d" * 64, None, "")
    announcer = Announcer("n", sink, "float32", ignore)
    seen: list[Sighting] = []
    settings_ = BatchSettings(largest=16, deadline=0.1)
    stage = Embedder(
        serving, backlog, settings_, announcer, said.append, outputs(announcer, seen.append)
    )
    crops = [crop(float(i), state.available) for i, state in enumerate(STATES)]
    for each in crops:
        backlog.put(each)
    backlog.close()
    stage.run(ignore)
    assert (stage.batches, said) == (1, [])
    for each, event in zip(crops, sink.events, strict=True):
        state = RGB_NIR_TIR.state(each.images)
        expected = runtime.embed(each.images)
        assert event.embedding is not None
        assert event.embedding.vector() == pytest.approx(expected, abs=1e-5)
        assert event.state == state.name
        assert list(event.precisions) == list(RGB_NIR_TIR.plan(state).engines)
        assert set(event.precisions.values()) == {"fp32"}
        assert event.checkpoint == runtime.bundle.manifest.checkpoint_sha256
        assert event.bundle == "d" * 64
        assert {m: c.healthy for m, c in event.verdicts.items()} == dict.fromkeys(MODALITIES, True)
    assert [s.state for s in seen] == list(STATES)
    assert len({event.id for event in sink.events}) == len(STATES)


def test_engines_that_fail_cost_their_batch_and_are_no_progress() -> None:
    backlog = OneLane(100)
    runtime, said, beats = Embeds(), [], []
    runtime.fail = "the device is gone"
    stage = made(runtime, backlog, Remembered(), said, largest=2)
    for i in range(4):
        backlog.put(crop(float(i)))
    backlog.close()
    stage.run(lambda: beats.append(1))
    assert backlog.snapshot() == Account(4, 0, {NOT_EMBEDDED: 4}, 0)
    assert said == ["embedding fails: RuntimeError: the device is gone"]
    assert len(beats) == 1


def test_a_model_of_two_modalities_has_their_states() -> None:
    backlog = OneLane(100)
    runtime, sink = Embeds(), Remembered()
    runtime.graph = Graph(("tir", "rgb"))
    runtime.forms.update(dict.fromkeys(runtime.graph.engines, 1))
    stage = made(runtime, backlog, sink, [], largest=3)
    assert list(stage.serving.precisions) == list(runtime.graph.states)
    for i, state in enumerate(runtime.graph.states):
        backlog.put(crop(float(i), state.available[::-1]))
    backlog.close()
    stage.run(ignore)
    assert [event.state for event in sink.events] == ["tir+rgb", "tir", "rgb"]
    assert set(sink.events[0].precisions) == {
        "branch_tir",
        "branch_rgb",
        "cmft_tir2rgb",
        "dem_tir2rgb",
        "dem_rgb2tir",
    }


def test_a_gallery_that_cannot_be_read_costs_the_match_and_not_the_event() -> None:
    backlog = OneLane(100)
    sink, said, broken = Remembered(), [], [True, True, False]

    def matcher(_embeddings: object, states: list[State]) -> list[None]:
        if broken.pop(0):
            raise GalleryError("g.db: the disk is gone")
        return [None] * len(states)

    matcher.stale = ""
    stage = made(Embeds(), backlog, sink, said, largest=1)
    stage.serving = replace(stage.serving, matcher=matcher)
    unmatched = []
    for i in range(3):
        backlog.put(crop(float(i)))
        taken = backlog.take(1, 0.0, lambda _: 0.0)
        assert taken is not None
        stage.embed(taken)
        unmatched.append(stage.unmatched)
    assert len(sink.events) == 3
    assert unmatched == ["g.db: the disk is gone"] * 2 + [""]
    assert said == ["matching fails: g.db: the disk is gone", "matching works again"]


def test_a_bundle_that_comes_too_late_or_too_soon_is_let_go() -> None:
    def offered() -> tuple[Serving, Embeds]:
        runtime = Embeds()
        return Serving(runtime, "e" * 64, None, ""), runtime

    first = Embeds()
    sink = Remembered()
    stage = made(first, OneLane(1), sink, [])
    (one, unwanted), (two, wanted), (three, unused), (four, late) = (offered() for _ in range(4))
    stage.offer(one)
    stage.offer(two)
    stage._take_over()
    assert (first.closed, unwanted.closed, wanted.closed) == (True, True, False)
    assert len(sink.notices()) == 1
    stage.offer(three)
    stage.close()
    stage.offer(four)
    assert (wanted.closed, unused.closed, late.closed) == (True, True, True)
