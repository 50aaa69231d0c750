"""What comes of a calibration."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.choose import Selection
from calibration.emit import Emitted
from calibration.judge import Effects
from calibration.request import CalibrationRequest
from calibration.samples import Samples
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form, Forms, Platform


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
        selections: what was chosen, by platform.
        notes: what a person should know.
        forms: of the variants in `whole`.
    """

    bundle: Bundle
    request: CalibrationRequest
    samples: Samples
    budget: float
    emitted: Emitted
    alone: dict[tuple[str, Form], Effects]
    whole: dict[str, Effects]
    times: dict[str, dict[Form, float]]
    selections: dict[Platform, Selection]
    notes: tuple[str, ...]
    forms: dict[str, Forms]
