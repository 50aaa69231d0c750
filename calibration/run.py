"""A calibration from beginning to end: observe, emit, judge, choose, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from calibration.canary import canary_limit
from calibration.choose import Selection, fastest_first, offered, require, select
from calibration.emit import Emitted, emit
from calibration.errors import CalibrationError
from calibration.judge import Effect, Effects, Judge
from calibration.outcome import Outcome
from calibration.replay import ReplayEngines
from calibration.request import COSINE, POINTS, CalibrationRequest, Notify
from calibration.samples import choose_samples
from calibration.table import obtain_table, weights_digest
from calibration.timing import engine_times
from calibration.write import write
from denet.graph import Graph
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import INT8, Form, Forms, Precision, cpu_targets, variant
from runtime.bundle.forms import Target as Platform
from runtime.bundle.manifest import Mixed, StateEvidence
from runtime.head import Head

Candidates = dict[str, list[Form]]
"""The forms that may be chosen of each engine."""

Judging = Callable[[str, Mapping[Any, Forms]], dict[Any, Effects]]
"""(what is said meanwhile, choices): the effects of each choice."""


def calibrate(root: Path, request: CalibrationRequest, notify: Notify = lambda *_: None) -> Outcome:
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
    graph = bundle.graph
    weights_digest(bundle.manifest)  # refuses a bundle without FP32
    bundle.verify()
    platforms = _platforms(request)
    samples = choose_samples(
        bundle.manifest, request.data, request.judge, request.samples, request.seed
    )
    budget = _budget(request, labelled=samples.labelled)
    seen, judged = len(samples.calibration.records), len(samples.judged.records)
    notes = list(samples.notes)
    table = obtain_table(bundle, request, samples, notes, _counted(notify, "observing", seen))
    emitted = emit(
        bundle,
        table,
        request.method,
        platforms,
        half=request.precision == "fp16",
        notify=_counted(notify, "quantizing", len(graph.engines)),
    )
    notes += emitted.describe_refused()

    engines = ReplayEngines(graph, partial(_read, bundle, emitted), request.threads)
    times = engine_times(
        engines,
        samples.calibration,
        {e: ("fp32", *(f for f in emitted.forms(e) if f != "int8-trt")) for e in graph.engines},
        _counted(notify, "timing", len(graph.engines)),
    )
    judge = Judge(
        engines,
        Head(bundle),
        samples.judged,
        labelled=samples.labelled,
        batch=request.batch,
        seed=request.seed,
    )

    def judging(what: str, choices: Mapping[Any, Forms]) -> dict[Any, Effects]:
        return judge.judge(choices, _counted(notify, what, judged))

    candidates = {platform: offered(graph, emitted, platform) for platform in platforms}
    found = _judge_variants(graph, emitted, candidates, judging)
    selections: dict[Platform, Selection] = {}
    for platform in platforms:
        if request.precision == "auto":
            name = variant("mixed", platform)
            selection = _select(graph, found, candidates, times, budget, platform, judging)
            selections[platform] = selection
            found.forms[name], found.whole[name] = selection.forms, selection.effects
        else:
            name = variant(request.precision, platform)
            _require_all_engines(graph, emitted, request.precision, platform)
        require(found.whole[name], budget, samples.labelled, name)

    new = write(
        bundle,
        emitted,
        table.encode(),
        calibration={
            "data": str(request.data),
            "samples": table.samples,
            "seed": request.seed,
            "method": request.method,
            "judged": judged,
        },
        mixed={
            platform: _mixed(selection, request, samples.labelled)
            for platform, selection in selections.items()
        },
        min_cosine={
            name: canary_limit(bundle, engines, each) for name, each in found.forms.items()
        },
        default="mixed" if request.precision == "auto" else request.precision,
    )
    return Outcome(
        bundle=new,
        request=request,
        samples=samples,
        budget=budget,
        emitted=emitted,
        alone=found.alone,
        whole=found.whole,
        times=times,
        selections=selections,
        notes=tuple(notes),
        forms=found.forms,
    )


def _platforms(request: CalibrationRequest) -> tuple[Platform, ...]:
    """What INT8 is made for; by default this machine.

    Raises:
        CalibrationError: a platform's arithmetic cannot be judged here.
    """
    here = cpu_targets()
    if "vnni" in request.platforms and "vnni" not in here:
        raise CalibrationError(
            "target vnni: this CPU has no VNNI, so what INT8 does there cannot be measured here: "
            "calibrate on a machine that has it, or for avx2"
        )
    return tuple(dict.fromkeys(request.platforms)) or here[:1]


def _budget(request: CalibrationRequest, *, labelled: bool) -> float:
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


def _counted(notify: Notify, what: str, total: int) -> Callable[[int], None]:
    """Tells `notify` of the whole when told of so much more."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        notify(what, done, total)

    return add


def _read(bundle: Bundle, emitted: Emitted, engine: str, form: Form) -> bytes:
    model = emitted.models.get((engine, form))
    return bundle.read_engine(engine, "fp32") if model is None else model


@dataclass(frozen=True)
class _Judged:
    """What was judged.

    Attributes:
        forms: of each variant.
        whole: the effects of each variant.
        alone: the effects of one engine in one form, all others in FP32.
    """

    forms: dict[str, Forms]
    whole: dict[str, Effects]
    alone: dict[tuple[str, Form], Effects]


def _judge_variants(
    graph: Graph, emitted: Emitted, candidates: Mapping[Platform, Candidates], judging: Judging
) -> _Judged:
    """Judge each precision for as many engines as have it, and each engine alone in each form."""
    forms = _variants(graph, emitted, candidates)
    alone = {
        (engine, form): {e: form if e == engine else "fp32" for e in graph.engines}
        for engine, form in emitted.models
    }
    effects = judging("judging", {**forms, **alone})
    return _Judged(
        forms, {name: effects[name] for name in forms}, {key: effects[key] for key in alone}
    )


def _variants(
    graph: Graph, emitted: Emitted, candidates: Mapping[Platform, Candidates]
) -> dict[str, Forms]:
    """Each precision for as many engines as have it, by the variant's name."""
    forms: dict[str, Forms] = {
        variant("int8", platform): {engine: offered[0] for engine, offered in each.items()}
        for platform, each in candidates.items()
    }
    halves = {e: "fp16" in emitted.forms(e) for e in graph.engines}
    if any(halves.values()):
        forms["fp16"] = {e: "fp16" if half else "fp32" for e, half in halves.items()}
    return forms


def _select(
    graph: Graph,
    judged: _Judged,
    candidates: Mapping[Platform, Candidates],
    times: Mapping[str, dict[Form, float]],
    budget: float,
    platform: Platform,
    judging: Judging,
) -> Selection:
    """Choose for a platform. All engines in INT8 have been judged already."""
    int8 = variant("int8", platform)

    def judge_choice(choice: Forms) -> Effects:
        if choice == judged.forms[int8]:
            return judged.whole[int8]
        return judging(f"choosing for {platform}", {"": choice})[""]

    offers = candidates[platform]
    ordered = {e: fastest_first(forms, times.get(e, {})) for e, forms in offers.items()}
    return select(graph, ordered, times, judged.alone, budget, judge_choice)


def _require_all_engines(
    graph: Graph, emitted: Emitted, precision: Precision, platform: Platform
) -> None:
    """See that what is asked for by name was made of every engine.

    Raises:
        CalibrationError: it was not.
    """
    form: Form = "fp16" if precision == "fp16" else INT8[platform]
    if lacking := [e for e in graph.engines if form not in emitted.forms(e)]:
        raise CalibrationError(
            f"{variant(precision, platform)} cannot be had for {', '.join(lacking)}: "
            f"{emitted.refused[lacking[0], form]}. Nothing was written: --precision auto "
            "leaves such engines in FP32"
        )


def _mixed(selection: Selection, request: CalibrationRequest, labelled: bool) -> Mixed:
    default = POINTS if labelled else COSINE
    return Mixed(
        engines=selection.forms,
        budget=default if request.budget is None else request.budget,
        labelled=labelled,
        states={state.name: _evidence(effect) for state, effect in selection.effects.items()},
        reasons=selection.reasons,
    )


def _evidence(effect: Effect) -> StateEvidence:
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
