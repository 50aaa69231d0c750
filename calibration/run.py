"""A calibration from beginning to end: observe, emit, judge, choose, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from calibration.canary import canary_limit
from calibration.choose import Selection, fastest_first, offered, require, select
from calibration.emit import Emitted, emit
from calibration.errors import CalibrationError
from calibration.judge import Effect, Effects, Judge
from calibration.obtain import obtain_table
from calibration.outcome import COSINE, POINTS, Notify, Outcome, Request
from calibration.replay import Engines
from calibration.samples import choose_samples
from calibration.table import weights_digest
from calibration.timing import engine_times
from calibration.write import write
from denet.graph import ENGINES
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import INT8, Form, Forms, Precision, Target, cpu_targets, variant
from runtime.bundle.manifest import Mixed, StateEvidence
from runtime.head import Head
from runtime.preprocess import Preprocessor


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
    weights_digest(bundle.manifest)  # refuses a bundle without FP32
    bundle.verify()
    targets = _targets(request)
    samples = choose_samples(
        request.data,
        request.judge,
        Preprocessor(bundle.manifest.preprocessing),
        request.samples,
        request.seed,
    )
    budget = _budget(request, labelled=samples.labelled)
    seen, judged = len(samples.calibration.records), len(samples.judged.records)
    notes = list(samples.notes)
    table = obtain_table(bundle, request, samples, notes, _counted(notify, "observing", seen))
    emitted = emit(
        bundle,
        table,
        request.method,
        targets,
        half=request.precision == "fp16",
        notify=_counted(notify, "quantizing", len(ENGINES)),
    )
    notes += emitted.describe_refused()

    def read(engine: str, form: Form) -> bytes:
        model = emitted.models.get((engine, form))
        return bundle.read_engine(engine, "fp32") if model is None else model

    engines = Engines(read, request.threads)
    times = engine_times(
        engines,
        samples.calibration,
        {e: ("fp32", *(f for f in emitted.forms(e) if f != "int8-trt")) for e in ENGINES},
        _counted(notify, "timing", len(ENGINES)),
    )
    judge = Judge(
        engines,
        Head(bundle),
        samples.judged,
        labelled=samples.labelled,
        batch=request.batch,
        seed=request.seed,
    )
    candidates = {target: offered(emitted, target) for target in targets}
    forms = _whole(emitted, candidates)
    alone = {
        (engine, form): {e: form if e == engine else "fp32" for e in ENGINES}
        for engine, form in emitted.models
    }
    effects = judge.judge({**forms, **alone}, _counted(notify, "judging", judged))
    whole = {name: effects[name] for name in forms}
    selections: dict[Target, Selection] = {}
    if request.precision == "auto":
        for target in targets:

            def judge_choice(choice: Forms, target: Target = target) -> Effects:
                if choice == forms[variant("int8", target)]:
                    return whole[variant("int8", target)]
                return judge.judge(
                    {"": choice}, _counted(notify, f"choosing for {target}", judged)
                )[""]

            selection = select(
                {e: fastest_first(f, times.get(e, {})) for e, f in candidates[target].items()},
                times,
                {key: effects[key] for key in alone},
                budget,
                judge_choice,
            )
            require(selection.effects, budget, samples.labelled, f"mixed-{target}")
            selections[target] = selection
            forms[variant("mixed", target)] = selection.forms
            whole[variant("mixed", target)] = selection.effects
    else:
        _require_named(request.precision, targets, emitted, whole, budget, samples.labelled)

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
            target: _mixed(selection, request, samples.labelled)
            for target, selection in selections.items()
        },
        min_cosine={name: canary_limit(bundle, engines, each) for name, each in forms.items()},
        default="mixed" if request.precision == "auto" else request.precision,
    )
    return Outcome(
        bundle=new,
        request=request,
        samples=samples,
        budget=budget,
        emitted=emitted,
        alone={key: effects[key] for key in alone},
        whole=whole,
        times=times,
        selections=selections,
        notes=tuple(notes),
        forms=forms,
    )


def _targets(request: Request) -> tuple[Target, ...]:
    """What INT8 is made for; by default this machine.

    Raises:
        CalibrationError: a target's arithmetic cannot be judged here.
    """
    here = cpu_targets()
    if "vnni" in request.targets and "vnni" not in here:
        raise CalibrationError(
            "target vnni: this CPU has no VNNI, so what INT8 does there cannot be measured here: "
            "calibrate on a machine that has it, or for avx2"
        )
    return tuple(dict.fromkeys(request.targets)) or here[:1]


def _budget(request: Request, *, labelled: bool) -> float:
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


def _whole(emitted: Emitted, candidates: dict[Target, dict[str, list[Form]]]) -> dict[str, Forms]:
    """Each precision for as many engines as have it, by the variant's name."""
    whole: dict[str, Forms] = {
        variant("int8", target): {engine: forms[0] for engine, forms in each.items()}
        for target, each in candidates.items()
    }
    halves = {e: "fp16" in emitted.forms(e) for e in ENGINES}
    if any(halves.values()):
        whole["fp16"] = {e: "fp16" if half else "fp32" for e, half in halves.items()}
    return whole


def _require_named(
    precision: Precision,
    targets: Sequence[Target],
    emitted: Emitted,
    whole: dict[str, Effects],
    budget: float,
    labelled: bool,
) -> None:
    """What is asked for by name is delivered for every engine, inside the budget, or refused.

    Raises:
        CalibrationError: it cannot be.
    """
    for target in targets:
        name = variant(precision, target)
        form: Form = "fp16" if precision == "fp16" else INT8[target]
        lacking = [e for e in ENGINES if form not in emitted.forms(e)]
        if lacking:
            raise CalibrationError(
                f"{name} cannot be had for {', '.join(lacking)}: "
                f"{emitted.refused[lacking[0], form]}. Nothing was written: --precision auto "
                "leaves such engines in FP32"
            )
        require(whole[name], budget, labelled, name)


def _mixed(selection: Selection, request: Request, labelled: bool) -> Mixed:
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
