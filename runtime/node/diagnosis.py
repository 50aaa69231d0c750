"""What is wrong with a trial that brought nothing: the cause, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from denet.graph import Modality
from runtime.node.boxes.cropping import OUTSIDE, UNEQUAL
from runtime.node.boxes.settings import BoxSettings
from runtime.node.head.settings import HeadSettings
from runtime.node.health import Fault
from runtime.node.trial import Trial

STEPS: Mapping[Fault, str] = {
    "absent": "see that it sends, and that timing.tolerance is at least half its period",
    "stale": "say what the camera takes to deliver (delay), or take a faster machine",
    "out of step": "make timing.tolerance at least half the period of the slowest sensor",
    "undecodable": "see that the file or stream is whole, and of a kind that is read here",
    "size": "see that it sends one size all the time, that of the calibration",
    "channels": 'set health.{m}.colour = "any" for a camera with a night filter',
    "black": "see that it is not covered, and light enough; for less set health.{m}.black_level",
    "saturated": "see that nothing blinds it, and its exposure",
    "uniform": "see that it is not covered and is in focus",
    "range": "say which values are black and white of this sensor: sources.{m}.range",
    "torn": "see its cable and driver; for coding that leaves no noise set health.{m}.torn_noise",
    "frozen": "see that it sends new pictures; a recording is to be one of a real sensor",
    "looping": "see that it sends new pictures; of a recorded folder set loop = true",
}
"""What to do about a sensor, by what is wrong with it most often."""


def problems_of(trial: Trial, settings: HeadSettings, *, empty: bool) -> list[str]:
    """All that is wrong, one line each: where, why, and the next step.

    Args:
        trial: what came out.
        settings: of the head.
        empty: nobody needs to be in view.
    """
    if not trial.moments:
        said = "; ".join(f"{m}: {reason}" for m, reason in trial.reasons.items())
        why = f": {said}" if said else ""
        return [f"trial: no frame came in {trial.took:.0f} s{why}: see that the cameras send"]
    found = [_sensor(trial, m) for m in settings.sources if not trial.healthy[m]]
    for part, failure in trial.failures.items():
        found.append(_failed(part, failure, settings.boxes))
    if not found and trial.lost and not trial.embedded:
        found.append(_lost(trial))
    elif not found and not trial.found and not empty:
        found.append(_nobody(trial, settings.boxes))
    return found


def remarks_of(trial: Trial) -> list[str]:
    """What is worth to be known of a trial that went well: sensors that were left out at times, and
    boxes that were in no frame."""
    said = [
        f"{m}: left out of {sum(faults.values())} of {trial.moments} frames: {trial.reasons[m]}"
        for m, faults in trial.faults.items()
        if trial.healthy[m]
    ]
    return said + [f"boxes: {reason}: {count}" for reason, count in trial.lost.items()]


def _sensor(trial: Trial, m: Modality) -> str:
    faults = trial.faults.get(m)
    if not faults:
        return f"sources.{m}: no frame of it came: {STEPS['absent']}"
    worst = faults.most_common(1)[0][0]
    return (
        f"sources.{m}: healthy in none of {trial.moments} frames: {worst}: {trial.reasons[m]}: "
        f"{STEPS[worst].format(m=m)}"
    )


def _failed(part: str, failure: str, boxes: BoxSettings) -> str:
    if part == "model":
        return f"model: embedding fails: {failure}: try `denet verify`, or another backend"
    if boxes.call is not None:
        return (
            f"boxes.call: {boxes.call} raises {failure}: mend it; it gets the healthy frames by "
            "modality and a time, and gives left, top, right and bottom of each person"
        )
    key = next(iter(boxes.finders), "")
    return f"boxes.{key}: fails: {failure}: see docs/detector.md"


def _lost(trial: Trial) -> str:
    sizes = ", ".join(f"{m} {w}x{h}" for m, (w, h) in trial.sizes.items())
    if trial.lost[UNEQUAL]:
        return (
            f"boxes: {UNEQUAL}: frames are {sizes}: say where a place of one is in the others, by "
            "boxes.calibration"
        )
    box = trial.box
    where = (
        "" if box is None else f", such as {box.left:g} {box.top:g} {box.right:g} {box.bottom:g},"
    )
    return (
        f"boxes: {OUTSIDE}: all {trial.lost[OUTSIDE]} boxes{where} lie outside of the frames, "
        f"which are {sizes}: give left, top, right and bottom in pixels of the RGB frame, and see "
        "the homographies of boxes.calibration"
    )


def _nobody(trial: Trial, boxes: BoxSettings) -> str:
    begin = f"boxes: nobody was found in {trial.looked} frames"
    if boxes.file is not None:
        named = "" if trial.name is None else f", the first of which is called {trial.name!r}"
        return (
            f"{begin}{named}: see that the lines of {boxes.file} have the names or times of these "
            "frames; --empty where nobody is in them"
        )
    step = {
        "detector": "lower boxes.detector.score or .smallest",
        "motion": "lower boxes.motion.contrast or .smallest",
        "call": f"see what {boxes.call} gives",
    }[boxes.finders[0]]
    return (
        f"{begin}: have somebody walk through the picture (--seconds 30 looks longer), or {step}; "
        "--empty where nobody is to be seen"
    )
