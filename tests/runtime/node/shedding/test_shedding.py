"""What runs under which load, against all choices written out and a queue reckoned by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from denet.graph import RGB_NIR_TIR, State
from runtime.bundle.bundle import Bundle
from runtime.bundle.card import CardAccuracy, ModelCard
from runtime.gallery.scores import carried_scores
from runtime.node import NodeError
from runtime.node.backlog import Account
from runtime.node.metrics import _Collector
from runtime.node.serving import first_serving
from runtime.node.shedding.costs import measure_costs
from runtime.node.shedding.shedder import CALM, FULL, HOLD, Shedder
from runtime.node.shedding.table import ShedTable, shed_table
from runtime.node.shedding.worth import worth_of_states
from runtime.runtime import Runtime
from tests.command import denet, refused
from tests.runtime.node.parts import (
    STATES,
    OneLane,
    Remembered,
    balanced,
    config_file,
    crop,
    events,
    run,
    settings,
)
from tests.runtime.node.snapshots import quiet
from tests.runtime.node.test_embedder import Embeds, made

COMPLETE = RGB_NIR_TIR.complete

COSTS: Mapping[State, float] = {s: 0.01 * len(s.available) for s in STATES}

WORTHS: Mapping[State, float] = dict(zip(STATES, (70, 60, 50, 45, 30, 25, 17), strict=True))

TABLE = shed_table(RGB_NIR_TIR, COSTS, WORTHS)

numbers = st.lists(st.integers(1, 9).map(float), min_size=7, max_size=7)


@examples(deadline=None)
@given(numbers, numbers, st.sampled_from([None, *STATES]))
def test_a_choice_is_never_worth_less_than_a_cheaper_one(
    costs: list[float], worths: list[float], floor: State | None
) -> None:
    cost, worth = (dict(zip(STATES, each, strict=True)) for each in (costs, worths))
    table = shed_table(RGB_NIR_TIR, cost, worth, floor)
    for whole, choices in table.items():
        assert choices[0].state == whole
        parts = [
            s
            for s in STATES
            if set(s.available) < set(whole.available)
            and cost[s] < cost[whole]
            and (floor is None or worth[s] >= worth[floor])
        ]
        best = {
            (cost[s], worth[s])
            for s in parts
            if not any(
                (cost[t] <= cost[s] and worth[t] > worth[s])
                or (cost[t] < cost[s] and worth[t] >= worth[s])
                for t in parts
            )
        }
        assert {(c.cost, c.worth) for c in choices[1:]} == best
        assert all(c.state in parts for c in choices[1:])
        falling = [c.cost for c in choices]
        assert falling == sorted(falling, reverse=True)


def states_at(
    shedder: Shedder,
    rate: float,
    seconds: float,
    begin: float,
    came: float,
    table: ShedTable = TABLE,
) -> tuple[float, float, list[State]]:
    """What is chosen of the complete state while crops come at a rate; the time and how many came
    afterwards."""
    found = []
    for step in range(int(seconds / 0.1)):
        came += rate * 0.1
        shedder.look(table, int(came), begin + step * 0.1)
        found.append(shedder.choose(table, COMPLETE))
    return begin + seconds, came, found


def test_what_runs_has_time_and_the_best_is_taken_that_has() -> None:
    """3 choices: 0.03, 0.02 and 0.01 s. Up to 28 crops a second all three modalities have time."""
    for rate, chosen in ((25, "rgb+nir+tir"), (40, "rgb+nir"), (60, "rgb"), (500, "rgb")):
        told: list[str] = []
        shedder = Shedder(told.append)
        *_, found = states_at(shedder, rate, 4.0, 0.0, 0.0)
        assert found[-1].name == chosen, rate
        if rate < 85:
            assert rate * COSTS[found[-1]] <= FULL + 0.02
        assert bool(told) == (chosen != "rgb+nir+tir")
        if told:
            assert f"rgb+nir+tir as {chosen}" in told[0]


def test_where_there_is_time_for_none_that_runs_which_is_worth_most_for_its_time() -> None:
    worths = dict(zip(STATES, (70, 62, 50, 45, 25, 25, 17), strict=True))
    table = shed_table(RGB_NIR_TIR, COSTS, worths)
    for rate, chosen in ((80, "rgb"), (200, "rgb+nir"), (900, "rgb+nir")):
        shedder = Shedder(lambda _: None)
        *_, found = states_at(shedder, rate, 4.0, 0.0, 0.0, table)
        assert found[-1].name == chosen, rate
        share = {s: min(1.0, 1 / (rate * COSTS[s])) for s in STATES}
        if rate > 85:
            best = max(share[s] * worths[s] for s in STATES)
            assert share[found[-1]] * worths[found[-1]] == pytest.approx(best)


def test_what_costs_hardly_less_is_no_choice() -> None:
    names = ("rgb+nir+tir", "rgb", "tir")
    costs = dict.fromkeys(STATES, 0.02) | dict(
        zip(named(*names), (0.03, 0.0104, 0.01), strict=True)
    )
    choices = shed_table(RGB_NIR_TIR, costs, WORTHS)[COMPLETE]
    assert [c.state.name for c in choices] == ["rgb+nir+tir", "rgb+nir", "rgb"]


def named(*names: str) -> list[State]:
    return [state for name in names for state in STATES if state.name == name]


def test_what_was_shed_comes_back_step_by_step_after_a_while() -> None:
    told: list[str] = []
    shedder = Shedder(told.append)
    now, came, found = states_at(shedder, 60, 3.0, 0.0, 0.0)
    assert found[-1].name == "rgb"
    now, came, found = states_at(shedder, 32, 3 * HOLD, now, came)
    names = [s.name for s in found]
    # Two modalities would take 0.64 of the time, three 0.96.
    assert CALM > 32 * 0.02
    back = names.index("rgb+nir")
    assert HOLD <= back * 0.1 <= HOLD + 1.5
    assert set(names[back:]) == {"rgb+nir"}
    now, came, found = states_at(shedder, 5, 3 * HOLD, now, came)
    assert found[-1] == COMPLETE
    assert told[-1] == ""
    assert len(told) == 2


def test_a_load_about_the_limit_does_not_make_it_flicker() -> None:
    shedder = Shedder(lambda _: None)
    now = came = 0.0
    changes, last = 0, COMPLETE
    for round_ in range(40):
        now, came, found = states_at(shedder, 27 + 4 * (round_ % 2), 1.0, now, came)
        for state in found:
            changes += state != last
            last = state
    assert changes <= 2


def test_a_machine_that_is_slower_than_measured_sheds_earlier() -> None:
    quick, slow = Shedder(lambda _: None), Shedder(lambda _: None)
    for _ in range(40):
        quick.took(TABLE, [COMPLETE] * 4, 4 * 0.03)
        slow.took(TABLE, [COMPLETE] * 4, 4 * 0.06)
    assert states_at(quick, 20, 3.0, 0.0, 0.0)[2][-1] == COMPLETE
    assert states_at(slow, 20, 3.0, 0.0, 0.0)[2][-1].name == "rgb+nir"


@pytest.mark.parametrize("overload", ["drop", "shed"])
def test_under_twice_the_load_everybody_is_embedded_or_half_of_them(
    overload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage whose engines take 10 ms for each modality of a crop, given 60 crops a second."""
    clock = SimpleNamespace(now=100.0)
    time_ = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("runtime.node.embedder.time", time_)
    backlog = OneLane(8, lambda: clock.now)
    runtime, sink, said = Embeds(), Remembered(), list[str]()
    stage = made(runtime, backlog, sink, said, largest=4, overload=overload)
    if overload == "shed":
        stage.serving = replace(stage.serving, table=TABLE)
    due, end = clock.now, clock.now + 20
    while clock.now < end:
        while due <= clock.now:
            backlog.put(crop(due))
            due += 1 / 60
        crops = backlog.take(4, 0.0, lambda _: 0.0)
        if not crops:
            clock.now = due
            continue
        before = len(runtime.batches)
        runtime.work = lambda _n: _spend(clock, runtime)
        assert stage.embed(crops)
        assert len(runtime.batches) == before + 1
    account = backlog.snapshot()
    lost = account.dropped.get("overflow", 0) / account.entered
    if overload == "drop":
        assert lost > 0.35
        assert not stage._outputs[""].shed
    else:
        assert lost < 0.05
        assert stage._outputs[""].shed.total() > 0.9 * account.left
        kinds = [kind for kind, _ in sink.notices()]
        assert kinds == ["shedding"]
        told = {e.state for e in sink.events if e.kind == "embedding"}
        assert told == {"rgb+nir+tir", "rgb"}
        assert all(len(e.verdicts) == 3 for e in sink.events if e.kind == "embedding")


def _spend(clock: Any, runtime: Embeds) -> None:
    clock.now += sum(COSTS[state] for state in runtime.batches[-1])


def test_worth_is_what_the_bundle_has_been_measured_for(
    bundle_path: Path, scored_path: Path
) -> None:
    bundle, scored = Bundle.open(bundle_path), Bundle.open(scored_path)
    with pytest.raises(NodeError, match=r"--test-data.*denet calibrate BUNDLE DATA"):
        worth_of_states(bundle.manifest, bundle.graph, None)
    found, what = worth_of_states(scored.manifest, scored.graph, carried_scores(scored))
    assert what == "genuine pairs that the scores find"
    assert set(found) == set(scored.graph.states)
    assert all(0 <= worth <= 100 for worth in found.values())


@pytest.mark.parametrize(("projection", "taken"), [("", True), ("0" * 64, False)])
def test_worth_is_first_what_the_card_tells_of_these_embeddings(
    scored_path: Path, projection: str, taken: bool
) -> None:
    bundle = Bundle.open(scored_path)
    maps = {state.name: (50.0 + i, 60.0) for i, state in enumerate(bundle.graph.states)}
    tested = CardAccuracy(
        data="gate", layout="RGBNT201", queries=9, gallery=9, identities=3, cameras=2,
        precision="fp32", states=maps, projection=projection,
    )  # fmt: skip
    manifest = msgspec.structs.replace(bundle.manifest, card=ModelCard(tested=tested))
    found, what = worth_of_states(manifest, bundle.graph, carried_scores(bundle))
    assert (what == "mAP on the test split of gate") is taken
    assert (found == {s: maps[s.name][0] for s in bundle.graph.states}) is taken


def test_costs_are_those_of_the_states(runtime: Runtime) -> None:
    costs = measure_costs(runtime, runtime.bundle.manifest, 4)
    assert set(costs) == set(runtime.graph.states)
    assert all(cost > 0 for cost in costs.values())
    assert np.mean([costs[s] for s in STATES[4:]]) < costs[COMPLETE]


def test_events_tell_what_ran_and_what_was_healthy(
    scored_path: Path, data: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "events.jsonl"
    asked = {"overload": "shed", "floor": "tir", "waiting": 1000}
    facts, _said = run(
        settings(scored_path, data / "test", batches=asked, events={"lines": {"path": str(lines)}})
    )
    balanced(facts)
    told = [e for e in events(lines) if e["kind"] == "embedding"]
    assert len(told) == facts.crops.left
    healthy = ["+".join(m for m, v in e["verdicts"].items() if v["healthy"]) for e in told]
    cheaper = sum(e["state"] != whole for e, whole in zip(told, healthy, strict=True))
    assert cheaper == sum(facts.shed.values()), "each that ran cheaper is counted"


def test_what_cannot_be_shed_is_said_at_the_start(
    bundle_path: Path, scored_path: Path, data: Path, tmp_path: Path
) -> None:
    shed = {"overload": "shed"}
    with pytest.raises(NodeError, match=r"batches\.overload: nothing in the bundle says"):
        first_serving(settings(bundle_path, data, batches=shed), None)
    with pytest.raises(NodeError, match=r"batches\.floor: .*uv"):
        first_serving(settings(scored_path, data, batches={**shed, "floor": "uv"}), None)
    text = '[batches]\nfloor = "rgb"\n'
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "e.jsonl", text)
    refused(denet("node", "check", config), "batches", "a floor is of overload")


def test_snapshots_and_metrics_have_what_was_shed() -> None:
    pytest.importorskip("prometheus_client")
    taken = quiet(
        batches=1,
        triplets=Account(3, 3),
        crops=Account(3, 3),
        shed={("rgb+nir+tir", "rgb"): 3},
    )
    families = {family.name: family for family in _Collector(lambda: taken).collect()}
    (sample,) = families["denet_shed"].samples
    assert (sample.labels, sample.value) == ({"healthy": "rgb+nir+tir", "ran": "rgb"}, 3)
    assert taken.facts()["shed"] == {"rgb+nir+tir": {"rgb": 3}}
    assert "cheaper 3" in taken.line(None)
    assert "cheaper" not in taken.line(taken)
    assert "rgb+nir+tir as rgb: 3 crops" in taken.summary()
