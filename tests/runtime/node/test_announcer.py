"""Changes of the sensors become events."""

from __future__ import annotations

import time

from denet.graph import RGB_NIR_TIR
from runtime.node.announcer import Announcer
from runtime.node.health import Assessment, Verdict
from tests.runtime.node.parts import (
    MODALITIES,
    Remembered,
)


def test_what_changes_is_told_once() -> None:
    sink, said = Remembered(), []
    announcer = Announcer("gate", sink, "float16", said.append)

    def judged(at: float, *sick: str) -> None:
        verdicts = {
            m: Verdict(m, "black" if m in sick else None, "dark" if m in sick else "")
            for m in MODALITIES
        }
        well = [m for m in MODALITIES if m not in sick]
        announcer.judged(Assessment(at, verdicts, RGB_NIR_TIR.state(well) if well else None))

    for at, sick in enumerate(
        [(), ("nir",), ("nir",), ("nir", "rgb", "tir"), MODALITIES, ("nir",), ()]
    ):
        judged(time.monotonic() + at, *sick)
    assert [kind for kind, _ in sink.notices()] == [
        "sensor lost",
        "sensor lost",
        "sensor lost",
        "nothing healthy",
        "sensor back",
        "sensor back",
        "healthy again",
        "sensor back",
    ]
    assert sink.notices()[0] == ("sensor lost", "nir: black: dark")
    assert [e.state for e in sink.events][:4] == ["rgb+tir", None, None, None]
    assert said[0] == "sensor lost: nir: black: dark"
    assert abs(sink.events[0].time - time.time()) < 60
