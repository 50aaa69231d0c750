"""A calibration from beginning to end: observe, emit, judge, choose, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calibration.canary import canary_limit
from calibration.choose import Selection, fastest_first, offered, require, select
from calibration.emit import Emitted, emit
from calibration.errors import CalibrationError
from calibration.judge import Effect, Effects, Judge
from calibration.outcome import Outcome
from calibration.replay import ReplayEngines
from calibration.request import COSINE, POINTS, CalibrationRequest, Notify
from calibration.samples import choose_samples
from calibration.table import RangeTable, obtain_table, weights_digest
from calibration.timing import engine_times
from calibration.write import check_writable, write
from denet.graph import Graph
from denet.progress import counted
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import INT8, Form, Forms, Platform, Precision, cpu_platforms, variant
from runtime.bundle.manifest import Evidence, Mixed, StateEvidence
from runtime.head import Head
from runtime.runtime import Runtime

Times = dict[str, dict[Form, float]]
"""Milliseconds of each engine in each form."""


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
        CanaryError: the bundle gives wrong embeddings here.
    """
    work = _Calibration(root, request, notify)
    table = work.observe()
    emitted = work.emit(table)
    engines = ReplayEngines(work.graph, partial(_read, work.bundle, emitted), request.threads)
    times = work.time(engines, emitted)
    judged = work.judge(engines, emitted)
    selections = work.choose(emitted, times, judged)
    bundle = work.write(table, emitted, engines, judged, selections)
    return Outcome(
        bundle=bundle,
        request=request,
        samples=work.samples,
        budget=work.budget,
        emitted=emitted,
        alone=judged.alone,
        whole=judged.whole,
        times=times,
        selections=selections,
        notes=tuple(work.notes),
        forms=judged.forms,
    )


@dataclass(frozen=True)
class _Judged:
    """What was judged, and who judges what is chosen next.

    Attributes:
        judge: has FP32's embeddings already.
        forms: of each variant.
        whole: the effects of each variant.
        alone: the effects of one engine in one form, all others in FP32.
    """

    judge: Judge
    forms: dict[str, Forms]
    whole: dict[str, Effects]
    alone: dict[tuple[str, Form], Effects]


class _Calibration:
    """The steps of a calibration; all that they have in common is known and seen to be good."""

    def __init__(self, root: Path, request: CalibrationRequest, notify: Notify) -> None:
        self.bundle = Bundle.open(root)
        weights_digest(self.bundle.manifest)  # refuses a bundle without FP32
        # An INT8 engine is a quarter of one in FP32, and not every engine becomes one.
        floats = (e.files["fp32"].bytes for e in self.bundle.manifest.engines.values())
        check_writable(self.bundle, size=sum(floats) // 8)
        self.bundle.verify()
        # What FP32 gets wrong here would be the measure of all else.
        Runtime.load(self.bundle, "ort-cpu", "fp32", check=True, threads=request.threads).close()
        self.request = request
        self.graph = self.bundle.graph
        self.platforms = _platforms(request)
        self.samples = choose_samples(
            self.bundle.manifest, request.data, request.judge, request.samples, request.seed
        )
        self.budget = _budget(request, labelled=self.samples.labelled)
        self.notes = list(self.samples.notes)
        self._notify = notify

    def observe(self) -> RangeTable:
        """The ranges of activations."""
        count = len(self.samples.calibration.records)
        notify = counted(self._notify, "observing", count)
        return obtain_table(self.bundle, self.request, self.samples, self.notes, notify)

    def emit(self, table: RangeTable) -> Emitted:
        """The forms of each engine."""
        emitted = emit(
            self.bundle,
            table,
            self.request.method,
            self.platforms,
            half=self.request.precision == "fp16",
            notify=counted(self._notify, "quantizing", len(self.graph.engines)),
        )
        self.notes += emitted.describe_refused()
        return emitted

    def time(self, engines: ReplayEngines, emitted: Emitted) -> Times:
        """Milliseconds of each engine in each form that this machine can run as it is meant."""
        here = {e: [f for f in emitted.forms(e) if f != "int8-trt"] for e in self.graph.engines}
        return engine_times(
            engines,
            self.samples.calibration,
            {engine: ("fp32", *forms) for engine, forms in here.items()},
            counted(self._notify, "timing", len(self.graph.engines)),
        )

    def judge(self, engines: ReplayEngines, emitted: Emitted) -> _Judged:
        """The effects of each variant, and of each engine alone in each form."""
        judge = Judge(
            engines,
            Head(self.bundle),
            self.samples.judged,
            labelled=self.samples.labelled,
            batch=self.request.batch,
            seed=self.request.seed,
        )
        forms = self._variants(emitted)
        alone = {
            (engine, form): {e: form if e == engine else "fp32" for e in self.graph.engines}
            for engine, form in emitted.models
        }
        effects = judge.judge({**forms, **alone}, self._counted_judged("judging"))
        return _Judged(
            judge,
            forms,
            {name: effects[name] for name in forms},
            {key: effects[key] for key in alone},
        )

    def choose(self, emitted: Emitted, times: Times, judged: _Judged) -> dict[Platform, Selection]:
        """A form for each engine on each platform, which joins what was judged; nothing where a
        precision was asked for by name.

        Raises:
            CalibrationError: what was asked for cannot be had, or not within the budget.
        """
        selections: dict[Platform, Selection] = {}
        for platform in self.platforms:
            if self.request.precision == "auto":
                name = variant("mixed", platform)
                selection = self._select(emitted, times, judged, platform)
                selections[platform] = selection
                judged.forms[name], judged.whole[name] = selection.forms, selection.effects
            else:
                name = variant(self.request.precision, platform)
                _require_all_engines(self.graph, emitted, self.request.precision, platform)
            require(judged.whole[name], self.budget, self.samples.labelled, name)
        return selections

    def write(
        self,
        table: RangeTable,
        emitted: Emitted,
        engines: ReplayEngines,
        judged: _Judged,
        selections: Mapping[Platform, Selection],
    ) -> Bundle:
        """The bundle with all of it."""
        request = self.request
        return write(
            self.bundle,
            emitted,
            table.encode(),
            calibration={
                "data": str(request.data),
                "samples": table.samples,
                "seed": request.seed,
                "method": request.method,
                "judged": len(self.samples.judged.records),
            },
            mixed={
                platform: _mixed(selection, request, self.samples.labelled)
                for platform, selection in selections.items()
            },
            judged={name: _evidences(effects) for name, effects in judged.whole.items()},
            min_cosine={
                name: canary_limit(self.bundle, engines, forms)
                for name, forms in judged.forms.items()
            },
            default="mixed" if request.precision == "auto" else request.precision,
        )

    def _variants(self, emitted: Emitted) -> dict[str, Forms]:
        """Each precision for as many engines as have it, by the variant's name."""
        forms: dict[str, Forms] = {}
        for platform in self.platforms:
            candidates = offered(self.graph, emitted, platform)
            forms[variant("int8", platform)] = {e: each[0] for e, each in candidates.items()}
        halves = {e: "fp16" in emitted.forms(e) for e in self.graph.engines}
        if any(halves.values()):
            forms["fp16"] = {e: "fp16" if half else "fp32" for e, half in halves.items()}
        return forms

    def _select(
        self, emitted: Emitted, times: Times, judged: _Judged, platform: Platform
    ) -> Selection:
        int8 = variant("int8", platform)

        def judge_choice(choice: Forms) -> Effects:
            if choice == judged.forms[int8]:
                return judged.whole[int8]
            notify = self._counted_judged(f"choosing for {platform}")
            return judged.judge.judge({"": choice}, notify)[""]

        candidates = offered(self.graph, emitted, platform)
        ordered = {e: fastest_first(forms, times.get(e, {})) for e, forms in candidates.items()}
        return select(self.graph, ordered, times, judged.alone, self.budget, judge_choice)

    def _counted_judged(self, what: str) -> Callable[[int], None]:
        return counted(self._notify, what, len(self.samples.judged.records))


def _platforms(request: CalibrationRequest) -> tuple[Platform, ...]:
    """What INT8 is made for; by default this machine.

    Raises:
        CalibrationError: a platform's arithmetic cannot be judged here.
    """
    here = cpu_platforms()
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


def _read(bundle: Bundle, emitted: Emitted, engine: str, form: Form) -> bytes:
    model = emitted.models.get((engine, form))
    return bundle.read_engine(engine, "fp32") if model is None else model


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
        states=_evidences(selection.effects),
        reasons=selection.reasons,
    )


def _evidences(effects: Effects) -> Evidence:
    return {state.name: _evidence(effect) for state, effect in effects.items()}


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
