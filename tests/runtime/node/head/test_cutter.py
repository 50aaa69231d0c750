"""Persons that cannot be found."""

from __future__ import annotations

import numpy as np

from runtime.node.backlog import Account, Backlog
from runtime.node.boxes.box import Box
from runtime.node.head.cutter import NO_BOXES, Cutter
from runtime.node.sources import Frame
from runtime.node.stage_items import Crop, Moment
from tests.runtime.node.parts import WELL, ignore


def test_boxes_that_cannot_be_found_are_counted_and_said_once() -> None:
    moments: Backlog[Moment] = Backlog(100)
    found: Backlog[Crop] = Backlog(100)
    said: list[str] = []
    frames = {"rgb": Frame("rgb", 1.0, np.zeros((10, 10), np.uint8), 0)}
    for i in range(5):
        moments.put(Moment(float(i), frames, WELL))

    def finder(_frames: object, at: float) -> list[Box]:
        if at in (1.0, 2.0):
            raise KeyError("model")
        return [Box(0, 0, 5, 5), Box(20, 20, 25, 25)]

    moments.close()
    Cutter(moments, found, finder, None, said.append, 1.0).run(ignore)
    assert moments.snapshot() == Account(5, 3, {NO_BOXES: 2}, 0)
    assert found.snapshot() == Account(6, 0, {"outside": 3}, 3)
    assert said == ["no boxes: KeyError: 'model'", ""]
