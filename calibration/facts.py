"""What a calibration found, as plain data for a program, and what its tables and page ask of it."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from calibration.figures.scale import short
from calibration.half import HalfOutcome
from calibration.judge import Effect, Effects, worst
from calibration.outcome import Outcome
from calibration.request import CalibrationRequest
from calibration.samples import ChosenSamples
from denet import __version__
from denet.graph import State
from runtime.bundle.forms import FORMS, INT8, Form, Platform, cpu_platforms
from runtime.machine import read_cpu


def fp16_facts(made: HalfOutcome) -> dict[str, Any]:
    """What came of FP16 without data, for a program to read."""
    return {
        "bundle": str(made.bundle.root),
        "precision": "fp16",
        "samples": made.samples,
        "largest": {"engine": made.engine, "tensor": made.tensor, "value": made.largest},
        "cosines": made.cosines,
    }


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Everything that was found, as plain data for a program."""
    request, samples = outcome.request, outcome.samples
    return {
        "version": __version__,
        "bundle": str(outcome.bundle.root),
        "request": _request_facts(request),
        "machine": machine_facts(),
        "samples": {
            "calibration": _chosen_facts(samples.calibration),
            "judged": _chosen_facts(samples.judged)
            | {"identities": _identities(outcome) if samples.labelled else None},
            "labelled": samples.labelled,
        },
        "budget": {
            "value": outcome.budget,
            "unit": "mAP points" if samples.labelled else "1 - mean cosine",
        },
        "default": outcome.bundle.manifest.default_precision,
        "variants": {
            name: {
                "bytes": variant_bytes(outcome, name),
                "states": {state.name: _effect_facts(e) for state, e in effects.items()},
            }
            for name, effects in outcome.whole.items()
        },
        "engines": {
            engine: {form: _form_facts(outcome, engine, form) for form in shown_forms(outcome)}
            for engine in outcome.bundle.graph.engines
        },
        "selections": {
            platform: {"forms": dict(selection.forms), "reasons": reasons(outcome, platform)}
            for platform, selection in outcome.selections.items()
        },
        "notes": list(outcome.notes),
    }


def machine_facts() -> dict[str, Any]:
    """The processor that measured, and what INT8 it can run, the best first."""
    return {"cpu": read_cpu().name, "cores": os.cpu_count(), "targets": list(cpu_platforms())}


def _request_facts(request: CalibrationRequest) -> dict[str, Any]:
    facts = {"targets" if k == "platforms" else k: v for k, v in asdict(request).items()}
    return facts | {
        "data": str(request.data),
        "judge": None if request.judge is None else str(request.judge),
        "table": None if request.table is None else str(request.table),
        "targets": list(request.platforms),
    }


def _chosen_facts(chosen: ChosenSamples) -> dict[str, Any]:
    return {"source": chosen.source, "samples": len(chosen.records), "state": chosen.state.name}


def _identities(outcome: Outcome) -> int:
    return len({record.identity for record in outcome.samples.judged.records})


def _effect_facts(effect: Effect) -> dict[str, Any]:
    interval = None if effect.interval is None else list(effect.interval)
    return {**asdict(effect), "interval": interval, "loss": effect.loss()}


def _form_facts(outcome: Outcome, engine: str, form: Form) -> dict[str, Any]:
    refused = outcome.emitted.refused.get((engine, form))
    if refused is not None:
        return {"refused": refused}
    facts: dict[str, Any] = {
        "ms": outcome.times.get(engine, {}).get(form),
        "bytes": form_bytes(outcome, engine, form),
    }
    found = worst_alone(outcome).get((engine, form))
    if found is not None:
        facts |= {
            "worst_state": found[0].name,
            "worst_loss": found[1],
            "least_cosine": min(e.cosine for e in outcome.alone[engine, form].values()),
        }
    return facts


def shown_forms(outcome: Outcome) -> list[Form]:
    """FP32, and every form that was made of an engine or refused."""
    known = {
        "fp32",
        *(f for _, f in outcome.emitted.models),
        *(f for _, f in outcome.emitted.refused),
    }
    return [form for form in FORMS if form in known]


def form_bytes(outcome: Outcome, engine: str, form: Form) -> int | None:
    """The size of an engine in a form; None where there is none."""
    if form == "fp32":
        return outcome.bundle.manifest.engines[engine].files["fp32"].bytes
    model = outcome.emitted.models.get((engine, form))
    return None if model is None else len(model)


def variant_bytes(outcome: Outcome, name: str) -> int:
    """The size of the engines of a variant."""
    return sum(form_bytes(outcome, e, f) or 0 for e, f in outcome.forms[name].items())


def worst_alone(outcome: Outcome) -> dict[tuple[str, Form], tuple[State, float]]:
    """Of each engine in each form alone: the state that loses most, and what it loses.

    Only states that run the engine count: the others lose nothing, which says nothing.
    """
    plan = outcome.bundle.graph.plan
    found = {}
    for (engine, form), effects in outcome.alone.items():
        run: Effects = {s: e for s, e in effects.items() if engine in plan(s).engines}
        if run:
            found[engine, form] = worst(run)
    return found


def delivered(outcome: Outcome) -> list[str]:
    """The variants that were asked for, of all that were judged."""
    asked = outcome.request.precision
    wanted = "mixed" if asked == "auto" else asked
    return [name for name in outcome.whole if name.partition("-")[0] == wanted]


def reasons(outcome: Outcome, platform: Platform) -> dict[str, str]:
    """Of each engine that is not in its most reduced form, why; in the order of engines."""
    selection = outcome.selections[platform]
    found: dict[str, str] = {}
    for engine in outcome.bundle.graph.engines:
        chosen, reduced = selection.forms[engine], INT8[platform]
        taken = outcome.times.get(engine, {})
        if engine in selection.reasons:
            found[engine] = selection.reasons[engine]
        elif chosen != reduced and (engine, reduced) in outcome.emitted.refused:
            found[engine] = f"{reduced} cannot be had: {outcome.emitted.refused[engine, reduced]}"
        elif chosen != reduced and chosen in taken and reduced in taken:
            found[engine] = (
                f"{reduced} is no faster here: {short(taken[reduced])} ms, and {chosen} "
                f"{short(taken[chosen])} ms"
            )
    return found


def chosen_for(outcome: Outcome) -> dict[tuple[str, Form], list[str]]:
    """For which platforms each engine is in each form."""
    found: dict[tuple[str, Form], list[str]] = {}
    for platform, selection in outcome.selections.items():
        for engine, form in selection.forms.items():
            found.setdefault((engine, form), []).append(platform)
    return found
