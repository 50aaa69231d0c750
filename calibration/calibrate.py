"""A calibration from beginning to end: observe, emit, judge, choose, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.choose import Selection, require, select
from calibration.emit import Emitted, emit
from calibration.errors import CalibrationError
from calibration.judge import Effects, Judge
from calibration.observe import observe
from calibration.replay import Engines, Replay
from calibration.samples import Samples, choose_samples
from calibration.table import (
    Method,
    Table,
    check_table,
    preprocessing_digest,
    read_table,
    weights_digest,
)
from calibration.timing import engine_times
from calibration.write import write
from denet.graph import ENGINES, State
from runtime.bundle import Bundle, Mixed, StateEvidence
from runtime.canary import golden_cosines
from runtime.forms import INT8, Form, Forms, Precision, Target, cpu_targets, variant
from runtime.head import Head
from runtime.preprocess import Preprocessor

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
    forms: dict[str, Forms] = field(default_factory=dict)


def calibrate(root: Path, request: Request, notify: Notify = lambda *_: None) -> Outcome:
    """Calibrate the bundle at `root`, in place.

    Args:
        root: a bundle that holds FP32.
        request: what is asked.
        notify: told of progress.

    Raises:
        CalibrationError: it cannot be done as asked; the bundle is as it was.
        BundleError, DataError, ImageError, SampleError: bundle or data are damaged.
        BackendError: the threads cannot be had.
    """
    bundle = Bundle.open(root)
    digest = weights_digest(bundle.manifest)
    bundle.verify()
    targets = _targets(request)
    samples = choose_samples(
        request.data,
        request.judge,
        Preprocessor(bundle.manifest.preprocessing),
        request.samples,
        request.seed,
    )
    budget = _budget(request, samples.labelled)
    notes = list(samples.notes)
    table = _table(bundle, digest, request, samples, notes, notify)

    steps = iter(range(1, len(ENGINES) + 1))
    emitted = emit(
        bundle,
        table,
        request.method,
        targets,
        half=request.precision == "fp16",
        notify=lambda engine: notify(f"quantizing {engine}", next(steps), len(ENGINES)),
    )
    _note_refused(emitted, notes)

    def read(engine: str, form: Form) -> bytes:
        model = emitted.models.get((engine, form))
        return bundle.read_engine(engine, "fp32") if model is None else model

    engines = Engines(read, request.threads)
    candidates = _offered(emitted, targets)
    notify("timing engines", 0, 1)
    runnable = cpu_targets()[:1] if set(targets) & set(cpu_targets()) else ()
    timed: dict[str, list[Form]] = {
        engine: ["fp32", *(f for f in emitted.forms(engine) if f != "int8-trt")]
        for engine in ENGINES
    }
    times = engine_times(engines, samples.calibration, timed) if runnable else {}
    judge = Judge(
        engines,
        Head(bundle),
        samples.judged,
        labelled=samples.labelled,
        batch=request.batch,
        seed=request.seed,
    )
    alone, whole, forms = _judge_all(
        judge, emitted, candidates, len(samples.judged.records), notify
    )

    selections: dict[Target, Selection] = {}
    for target in targets if request.precision == "auto" else ():
        asked = 0

        def judged(choice: Forms, target: Target = target) -> Effects:
            nonlocal asked
            if choice == forms.get(variant("int8", target)):
                return whole[variant("int8", target)]
            asked += 1
            return judge.judge(
                {"": choice},
                _counted(notify, f"choosing for {target}, try {asked}", samples),
            )[""]

        ordered = {e: _fastest_first(candidates[target][e], times.get(e, {})) for e in ENGINES}
        selection = select(ordered, times, alone, budget, judged)
        require(selection, budget, samples.labelled, f"mixed-{target}")
        selections[target] = selection
        whole[variant("mixed", target)] = selection.effects
        forms[variant("mixed", target)] = selection.forms
    if request.precision != "auto":
        _require_whole(request, targets, emitted, whole, forms, budget, samples.labelled)

    new = write(
        bundle,
        emitted,
        table.encode(),
        calibration={
            "data": str(request.data),
            "samples": table.samples,
            "seed": request.seed,
            "method": request.method,
            "judged": len(samples.judged.records),
        },
        mixed={
            t: _mixed(selection, request, samples.labelled) for t, selection in selections.items()
        },
        min_cosine={name: _canary_limit(bundle, engines, chosen) for name, chosen in forms.items()},
        default={"auto": "mixed", "int8": "int8", "fp16": "fp16"}[request.precision],  # type: ignore[arg-type]
    )
    return Outcome(
        new, request, samples, budget, emitted, alone, whole, times, selections, tuple(notes), forms
    )


def _targets(request: Request) -> tuple[Target, ...]:
    """What INT8 is made for; by default this machine.

    Raises:
        CalibrationError: a target's arithmetic cannot be judged here.
    """
    here = cpu_targets()
    if not request.targets:
        return here[:1]
    for target in request.targets:
        if target == "vnni" and target not in here:
            raise CalibrationError(
                "target vnni: this CPU has no VNNI, so what INT8 does there cannot be measured "
                "here: calibrate on a machine that has it, or for avx2"
            )
    return tuple(dict.fromkeys(request.targets))


def _budget(request: Request, labelled: bool) -> float:
    """The most that a state may lose, as `Effect.loss` counts.

    Raises:
        CalibrationError: the budget is no such number.
    """
    if labelled:
        budget = POINTS if request.budget is None else request.budget
        if not 0 <= budget <= 100:
            raise CalibrationError(f"--budget {budget}: mAP points are between 0 and 100")
        return budget
    least = COSINE if request.budget is None else request.budget
    if not 0 < least <= 1:
        raise CalibrationError(
            f"--budget {least}: without labels the budget is the least mean cosine to FP32 that a "
            f"state may have, between 0 and 1, such as {COSINE}"
        )
    return 1 - least


def _table(
    bundle: Bundle,
    weights: str,
    request: Request,
    samples: Samples,
    notes: list[str],
    notify: Notify,
) -> Table:
    """The ranges: from a file, from the bundle if they are of the same samples, or new ones."""
    if request.table is not None:
        try:
            given = msgspec.json.decode(request.table.read_bytes(), type=Table)
        except OSError as error:
            raise CalibrationError(f"{request.table}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CalibrationError(f"{request.table}: not a calibration table: {error}") from None
        check_table(given, bundle, str(request.table))
        return given
    digest = samples.calibration.digest()
    try:
        known = read_table(bundle)
    except CalibrationError as error:
        notes.append(f"{error}: made anew")
        known = None
    if known is not None and (known.data, known.seed) == (digest, request.seed):
        notes.append("the ranges in the bundle are of the same samples: kept")
        return known
    ranges = observe(
        bundle,
        samples.calibration,
        request.threads,
        request.batch,
        _counted(notify, "observing", samples, of_judged=False),
    )
    return Table(
        weights=weights,
        preprocessing=preprocessing_digest(bundle.manifest),
        data=digest,
        source=str(request.data),
        samples=len(samples.calibration.records),
        seed=request.seed,
        engines=ranges,
    )


def _counted(
    notify: Notify, what: str, samples: Samples, *, of_judged: bool = True
) -> Callable[[int], None]:
    total = len((samples.judged if of_judged else samples.calibration).records)
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        notify(what, done, total)

    notify(what, 0, total)
    return add


def _note_refused(emitted: Emitted, notes: list[str]) -> None:
    by_reason: dict[str, list[str]] = {}
    for (engine, form), reason in emitted.refused.items():
        by_reason.setdefault(reason, []).append(f"{engine} ({form})")
    notes += [f"stays FP32: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _offered(emitted: Emitted, targets: Sequence[Target]) -> dict[Target, dict[str, list[Form]]]:
    """The forms that may be chosen of each engine, by target; the most reduced first."""
    offered: dict[Target, dict[str, list[Form]]] = {}
    for target in targets:
        wanted: list[Form] = [INT8[target], *(["fp16"] if target == "trt" else []), "fp32"]  # type: ignore[list-item]
        offered[target] = {}
        for engine in ENGINES:
            forms = [f for f in wanted if f == "fp32" or (engine, f) in emitted.models]
            # An edge's INT8 for TensorRT is its FP16.
            same = emitted.models.get((engine, "fp16"))
            if same is not None and emitted.models.get((engine, "int8-trt")) is same:
                forms = [f for f in forms if f != "fp16"]
            offered[target][engine] = forms
    return offered


def _fastest_first(forms: Sequence[Form], times: dict[Form, float]) -> list[Form]:
    """By what was measured; what was not keeps its place, the most reduced first.

    What is slower than FP32 is no choice: it would lose accuracy for nothing.
    """
    if any(form not in times for form in forms):
        return list(forms)
    faster = [f for f in forms if f == "fp32" or times[f] < times["fp32"]]
    return sorted(faster, key=lambda form: times[form])


def _judge_all(
    judge: Judge,
    emitted: Emitted,
    candidates: dict[Target, dict[str, list[Form]]],
    count: int,
    notify: Notify,
) -> tuple[dict[tuple[str, Form], Effects], dict[str, Effects], dict[str, Forms]]:
    """Each engine in each form alone, and each form for all engines."""
    whole: dict[str, Forms] = {}
    for target, engines in candidates.items():
        whole[variant("int8", target)] = {e: forms[0] for e, forms in engines.items()}
    if any((engine, "fp16") in emitted.models for engine in ENGINES):
        whole["fp16"] = {e: "fp16" if (e, "fp16") in emitted.models else "fp32" for e in ENGINES}
    alone: dict[str, Forms] = {}
    of: dict[str, tuple[str, Form]] = {}
    for engine, form in emitted.models:
        name = f"{engine} {form}"
        of[name] = engine, form
        alone[name] = {e: form if e == engine else "fp32" for e in ENGINES}
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        notify("judging", done, count)

    notify("judging", 0, count)
    effects = judge.judge({**whole, **alone}, add)
    return (
        {of[name]: effects[name] for name in alone},
        {name: effects[name] for name in whole},
        dict(whole),
    )


def _require_whole(
    request: Request,
    targets: Sequence[Target],
    emitted: Emitted,
    whole: dict[str, Effects],
    forms: dict[str, Forms],
    budget: float,
    labelled: bool,
) -> None:
    """What is asked for by name is delivered for every engine, inside the budget, or refused."""
    precision: Precision = "int8" if request.precision == "int8" else "fp16"
    for target in targets:
        name = variant(precision, target)
        form: Form = "fp16" if precision == "fp16" else INT8[target]
        lacking = [e for e in ENGINES if (e, form) not in emitted.models]
        if lacking:
            raise CalibrationError(
                f"{precision} cannot be had for {', '.join(lacking)}: "
                f"{emitted.refused[lacking[0], form]}. Nothing was written: --precision auto "
                "leaves such engines in FP32"
            )
        require(Selection(dict(forms[name]), whole[name], {}), budget, labelled, name)


def _mixed(selection: Selection, request: Request, labelled: bool) -> Mixed:
    default = POINTS if labelled else COSINE
    return Mixed(
        engines=selection.forms,
        budget=default if request.budget is None else request.budget,
        labelled=labelled,
        states={state.name: _evidence(effect) for state, effect in selection.effects.items()},
        reasons=selection.reasons,
    )


def _evidence(effect: Any) -> StateEvidence:
    change = None
    if effect.change is not None and effect.interval is not None:
        change = (effect.change, *effect.interval)
    return StateEvidence(
        cosine=effect.cosine,
        overlap=effect.overlap,
        map_fp32=effect.map_fp32,
        map=effect.map,
        change=change,
    )


def _canary_limit(bundle: Bundle, engines: Engines, forms: Forms) -> float:
    """The least cosine that the golden inputs may show in these forms.

    Twice the loss that is seen here, and as much again as other hardware rounds differently: what
    is wrong with a device is far beyond that.
    """
    preprocess, head = Preprocessor(bundle.manifest.preprocessing), Head(bundle)

    def embed(samples: Sequence[dict[Any, Any]]) -> NDArray[np.float32]:
        state = State.of(samples[0])
        images = {
            m: np.stack([preprocess(sample[m], m) for sample in samples]) for m in state.available
        }
        parts = [part for _, part in Replay(engines, images).parts(state, forms)]
        return head(np.stack(parts, axis=1))

    least = min(golden_cosines(bundle, embed).values())
    return round(1 - 2 * (1 - least) - 1e-3, 6)
