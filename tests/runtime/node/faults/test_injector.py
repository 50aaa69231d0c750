"""Faults that are made on purpose."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator

import pytest

from denet.graph import Modality
from runtime.node.faults import EFFECTS, FaultError, FaultSettings, FaultySource, Injector, Truth
from runtime.node.health import FAULTS
from runtime.node.sources import (
    Frame,
    Item,
    Source,
    Undecodable,
)
from tests.runtime.node.health.parts import TICK, frames, scene


def test_every_kind_of_fault_can_be_made() -> None:
    # A range that does not fit is wrong from the first frame on: nothing that begins.
    assert {fault for fault, _ in EFFECTS.values()} == set(FAULTS) - {"range"}


def test_faults_are_the_same_with_the_same_seed_and_others_with_another() -> None:
    def truths(seed: int, modality: Modality = "rgb") -> list[Truth]:
        injector = Injector(modality, FaultSettings(seed=seed, every=20))
        stream = frames(scene((32, 16, 3)), modality)
        return [injector(next(stream))[1] for _ in range(500)]

    once = truths(1)
    assert once == truths(1)
    assert [t.kind for t in once] != [t.kind for t in truths(2)]
    assert [t.kind for t in once] != [t.kind for t in truths(1, "tir")]
    assert [t.sequence for t in once] == list(range(500))
    for before, after in itertools.pairwise(once):
        if after.kind is not None and after.since:
            assert (after.kind, after.since) == (before.kind, before.since + 1)


def test_wrong_settings_of_faults_are_named() -> None:
    with pytest.raises(FaultError, match=r"kind of fault 'nova': choose from absent, "):
        Injector("rgb", FaultSettings(kinds=("nova",)))
    with pytest.raises(FaultError, match="shortest fault 9, longest 3"):
        Injector("rgb", FaultSettings(shortest=9, longest=3))


class Drawn(Source):
    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        images = scene((32, 16))
        yield self.undecodable(0.0, "damaged by itself")
        for number in range(1, 200):
            yield self.frame(number * TICK, next(images))


def test_a_faulty_source_passes_on_all_it_does_not_withhold() -> None:
    truths: list[Truth] = []
    settings = FaultSettings(every=15, kinds=("absent", "black"))
    source = FaultySource(Drawn("tir", "drawn", live=False), settings, truths.append)
    items = list(source.frames(threading.Event()))
    assert source.name == "drawn with faults"
    assert isinstance(items[0], Undecodable)
    kinds = {t.sequence: t.kind for t in truths}
    assert set(kinds.values()) == {None, "absent", "black"}
    assert [x.sequence for x in items] == [i for i, kind in kinds.items() if kind != "absent"]
    for item in items[1:]:
        assert isinstance(item, Frame)
        assert (item.image.mean() < 10) == (kinds[item.sequence] == "black")
