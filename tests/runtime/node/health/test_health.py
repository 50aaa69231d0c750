"""All sensors together: the state against the truth of what injected faults did."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from denet.data.synthetic import SyntheticConfig, World
from denet.graph import RGB_NIR_TIR, Graph, Modality, State
from runtime.node.faults import FaultSettings, Injector, Truth
from runtime.node.health import Health
from runtime.node.sources import (
    Absence,
    Frame,
    Notice,
    Synchronizer,
    Triplet,
)
from tests.runtime.node.health.parts import MODALITIES, TICK, frames, scene, walk

# All sensors together


def test_the_state_is_what_is_healthy_and_nothing_else() -> None:
    health = Health(MODALITIES)
    streams = {m: frames(scene((96, 48), seed=i), m) for i, m in enumerate(MODALITIES)}
    for number in range(20):
        seen = {m: next(streams[m]) for m in MODALITIES}
        assessment = health.judge(Triplet(number * TICK, seen, {}), number * TICK)
        assert (assessment.state, assessment.reason) == (RGB_NIR_TIR.state(MODALITIES), "")
    at = 20 * TICK
    black = Frame("nir", at, np.zeros((96, 48), np.uint8), 20)
    health.hear(Notice("tir", 0.0, "lost", "cam: refused; next try in 2.0 s"))
    gone = {"tir": Absence("absent", "no frame has come for 1.00 s")}
    assessment = health.judge(Triplet(at, {"rgb": next(streams["rgb"]), "nir": black}, gone), at)  # type: ignore[arg-type]
    assert assessment.state == RGB_NIR_TIR.state(["rgb"])
    assert assessment.reason == (
        "nir: 100 % of it is no brighter than 12 of 255; "
        "tir: no frame has come for 1.00 s; cam: refused; next try in 2.0 s"
    )
    nobody = {m: Absence("absent", "none") for m in MODALITIES}
    assessment = health.judge(Triplet(at + 1, {}, nobody), at + 1)
    assert assessment.state is None
    assert [v.fault for v in assessment.verdicts.values()] == ["absent"] * 3


# Drawn persons


def test_a_node_of_two_sensors_has_its_own_order() -> None:
    health = Health(["tir", "rgb"])
    streams = {m: frames(scene((96, 48), seed=i), m) for i, m in enumerate(("rgb", "tir"))}
    seen = {m: next(stream) for m, stream in streams.items()}
    found = health.judge(Triplet(0.0, seen, {}), 0.0)
    assert list(found.verdicts) == ["tir", "rgb"]
    assert found.state == Graph(("tir", "rgb")).complete


def test_night_shots_raise_no_alarm() -> None:
    world = World(SyntheticConfig(height=64, width=32))
    health, alarms = Health(MODALITIES), Counter[str]()
    drawn = walk(world, 10, night=True)
    for number in range(100):
        at = number * TICK
        seen = {m: Frame(m, at, image, number) for m, image in next(drawn).items()}
        alarms.update(
            f"{m} {v.fault}"
            for m, v in health.judge(Triplet(at, seen, {}), at).verdicts.items()
            if v.fault
        )
    assert alarms.total() <= 3, alarms


@pytest.mark.parametrize(
    "count", [300, pytest.param(3000, marks=pytest.mark.slow)], ids=["300", "3000"]
)
def test_the_state_is_the_truth_outside_of_the_hysteresis(count: int) -> None:
    """Through injector, synchronizer and health; docs/node.md has the figures of 20,000 frames."""
    world = World(SyntheticConfig(height=64, width=32))
    settings = FaultSettings(seed=3, every=60, longest=30)
    injectors = {m: Injector(m, settings) for m in MODALITIES}
    synchronizer, health = Synchronizer(MODALITIES), Health(MODALITIES)
    truths: list[dict[Modality, Truth]] = []
    states: dict[int, State | None] = {}
    drawn = walk(world, 100)
    for number in range(count):
        at = number * TICK
        truths.append({})
        for m, image in next(drawn).items():
            seen, truths[-1][m] = injectors[m](Frame(m, at, image, number))
            if seen is not None:
                synchronizer.push(seen, at + 0.01)
        for triplet in synchronizer.poll(at + 0.01):
            states[round(triplet.time / TICK)] = health.judge(triplet, at + 0.01).state
    excused, wrong = 0, []
    for number, truth in enumerate(truths[:-10]):
        # A fault in these frames may still be unknown, or not forgiven yet.
        near = [t[m] for t in truths[max(number - 5, 0) : number + 1] for m in MODALITIES]
        if any(t.kind for t in near) and len({t.kind for t in near}) > 1:
            excused += 1
            continue
        healthy = [m for m in MODALITIES if truth[m].kind is None]
        if states.get(number) != (RGB_NIR_TIR.state(healthy) if healthy else None):
            wrong.append((number, states.get(number), {m: t.kind for m, t in truth.items()}))
    judged = count - 10 - excused
    assert judged > 0.2 * count
    assert len(wrong) <= 0.01 * judged + 1, wrong
