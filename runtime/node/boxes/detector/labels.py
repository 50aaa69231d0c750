"""Names of a detector's classes: given, in the model, or those of COCO."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.node.errors import NodeError

COCO: Mapping[int, str] = {
    number: name
    for number, name in enumerate(
        """-,person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
        -,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,-,
        backpack,umbrella,-,-,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,
        baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,-,wine glass,cup,fork,
        knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,
        chair,couch,potted plant,bed,-,dining table,-,-,toilet,-,tv,laptop,mouse,remote,keyboard,
        cell phone,microwave,oven,toaster,sink,refrigerator,-,book,clock,vase,scissors,teddy bear,
        hair drier,toothbrush""".replace("\n        ", "").split(",")
    )
    if name != "-"
}
"""The categories of COCO by their own numbers, of 1 to 90 (Lin et al., "Microsoft COCO", 2014)."""

COCO_IN_ORDER: Mapping[int, str] = dict(enumerate(COCO.values()))
"""The same 80, numbered without gaps, as most detectors do."""

LONGEST = 1 << 16
"""Characters of names in a model."""


def class_names(
    given: Sequence[str] | None, metadata: Mapping[str, str], count: int | None, where: str
) -> Mapping[int, str]:
    """What classes are called, by number.

    Args:
        given: names in the order of the classes; None for those of the model.
        metadata: of the model; Ultralytics writes "names" into it.
        count: how many classes it has, where its outputs tell.
        where: the model, for messages.

    Raises:
        NodeError: as many were not given as there are.
    """
    if given is not None:
        if count is not None and len(given) != count:
            raise NodeError(f"{where}: labels has {len(given)} names for its {count} classes")
        return dict(enumerate(given))
    if found := _written(metadata.get("names", "")):
        return found
    if count in (None, len(COCO)):
        return COCO_IN_ORDER
    # RF-DETR keeps the numbers of COCO, and has a place for 0.
    return COCO if count == max(COCO) + 1 else {}


def class_numbers(
    wanted: Sequence[str | int], names: Mapping[int, str], count: int | None, where: str
) -> NDArray[np.int64]:
    """The numbers of the classes that are wanted.

    Args:
        wanted: names or numbers.
        names, count, where: see `class_names`.

    Raises:
        NodeError: there is no such class.
    """
    numbers = {name: number for number, name in names.items()}
    found = []
    for each in wanted:
        number = each if isinstance(each, int) else numbers.get(each)
        if number is None and not names:
            raise NodeError(
                f"{where}: its {count} classes have no names, so {each!r} is none of them: write "
                "their names as labels, or numbers as classes"
            )
        if number is None:
            shown = ", ".join(list(names.values())[:10]) + (", ..." if len(names) > 10 else "")
            raise NodeError(f"{where}: has no class {each!r}: its classes are {shown}")
        if count is not None and number >= count:
            raise NodeError(f"{where}: has no class {number}: it has {count}, counted from 0")
        found.append(number)
    return np.unique(np.array(found, np.int64))


def _written(text: str) -> dict[int, str]:
    """Names as Ultralytics writes them, {0: 'person', 1: ...}; nothing if they are not that."""
    if len(text) > LONGEST:
        return {}
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return {}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        return {}
    fine = all(isinstance(n, int) and n >= 0 and isinstance(v, str) for n, v in names.items())
    return names if fine else {}
