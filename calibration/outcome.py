"""What is asked of a calibration, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from calibration.choose import Selection
from calibration.emit import Emitted
from calibration.errors import CalibrationError
from calibration.judge import Effects
from calibration.samples import Samples
from calibration.table import Method
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PLATFORMS as TARGETS
from runtime.bundle.forms import Form, Forms
from runtime.bundle.forms import Platform as Target

Wanted = Literal["auto", "int8", "fp16"]

POINTS, COSINE = 0.5, 0.99
"""The default budgets: mAP points that a state may lose; without labels, its least mean cosine."""

Notify = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much)."""


@dataclass(frozen=True)
class Request:
    """What a user asks of a calibration.

    Attributes:
        data: a data set, whose training split calibrates, or a folder with RGB, NI and TI.
        judge: a data set whose test split judges; None to judge by a part of `data`.
        table: a table of ranges made elsewhere, instead of making one.
        precision: "auto" chooses per engine, "int8" and "fp16" are for all engines.
        targets: what INT8 is made for.
        budget: mAP points that each state may lose; without labels, the least mean cosine. None
            for the default.
        samples: how many calibrate.
        method: how ranges become scales.
        seed: of the choice of samples.
        threads: of ONNX Runtime.
        batch: samples at once.
    """

    data: Path
    judge: Path | None = None
    table: Path | None = None
    precision: Wanted = "auto"
    targets: tuple[Target, ...] = ()
    budget: float | None = None
    samples: int = 256
    method: Method = "minmax"
    seed: int = 0
    threads: int | None = None
    batch: int = 8


def request(
    data: Path, precision: str, targets: str | None, *, method: str = "minmax", **others: Any
) -> Request:
    """A request from what a user wrote.

    Raises:
        CalibrationError: a name is unknown, or there is no such data.
    """

    def known(option: str, name: str, names: tuple[str, ...]) -> Any:
        if name not in names:
            raise CalibrationError(f"unknown {option} {name!r}: choose from {', '.join(names)}")
        return name

    if not data.is_dir():
        raise CalibrationError(f"{data}: there is no such folder of data to calibrate with")
    return Request(
        data=data,
        precision=known("precision", precision, get_args(Wanted)),
        targets=tuple(known("target", t.strip(), TARGETS) for t in (targets or "").split(",") if t),
        method=known("method", method, get_args(Method)),
        **others,
    )


@dataclass(frozen=True)
class Outcome:
    """What a calibration found and did.

    Attributes:
        bundle: as it is now.
        request: what was asked.
        samples: what calibrated and what judged.
        budget: that was kept: mAP points, or without labels one minus a cosine.
        emitted: the forms of each engine.
        alone: the effects of one engine in one form, all others in FP32.
        whole: the effects of variants: "int8-vnni", "mixed-vnni", "fp16".
        times: milliseconds of each engine in each form, on this machine.
        selections: what was chosen, by target.
        notes: what a person should know.
        forms: of the variants in `whole`.
    """

    bundle: Bundle
    request: Request
    samples: Samples
    budget: float
    emitted: Emitted
    alone: dict[tuple[str, Form], Effects]
    whole: dict[str, Effects]
    times: dict[str, dict[Form, float]]
    selections: dict[Target, Selection]
    notes: tuple[str, ...]
    forms: dict[str, Forms]
