"""What is asked of a calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from calibration.errors import CalibrationError
from calibration.ranges import Method
from runtime.bundle.forms import PLATFORMS, Platform

Wanted = Literal["auto", "int8", "fp16"]

POINTS, COSINE = 0.5, 0.99
"""The default budgets: mAP points that a state may lose; without labels, its least mean cosine."""

Notify = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much)."""


@dataclass(frozen=True)
class CalibrationRequest:
    """What a user asks of a calibration.

    Attributes:
        data: a data set, whose training split calibrates, or a folder with RGB, NI and TI.
        judge: a data set whose test split judges; None to judge by a part of `data`.
        table: a table of ranges made elsewhere, instead of making one.
        precision: "auto" chooses per engine, "int8" and "fp16" are for all engines.
        platforms: what INT8 is made for.
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
    platforms: tuple[Platform, ...] = ()
    budget: float | None = None
    samples: int = 256
    method: Method = "minmax"
    seed: int = 0
    threads: int | None = None
    batch: int = 8


def calibration_request(
    data: Path, precision: str, platforms: str | None, *, method: str = "minmax", **others: Any
) -> CalibrationRequest:
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
    return CalibrationRequest(
        data=data,
        precision=known("precision", precision, get_args(Wanted)),
        platforms=tuple(
            known("target", p.strip(), PLATFORMS) for p in (platforms or "").split(",") if p
        ),
        method=known("method", method, get_args(Method)),
        **others,
    )
