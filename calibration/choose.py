"""The fastest form of each engine that keeps every state inside a budget.

Begins with the fastest form of every engine. While a state loses more than the budget, the engine
whose form alone costs these states most goes back to its next slower form, and the whole is judged
again. FP32 everywhere loses nothing, so it ends. Then each engine that went back, the one that
saves most first, tries its faster form once more: what was taken back early may not have been
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calibration.emit import Emitted
from calibration.errors import CalibrationError
from calibration.judge import Effects, worst
from denet.graph import Graph, State
from runtime.bundle.forms import INT8, Form, Forms, Platform

UNITS = {True: "mAP points", False: "of the cosine to FP32"}
"""Of a loss, with labels and without."""


@dataclass(frozen=True)
class Selection:
    """A form for each engine.

    Attributes:
        forms: the choice.
        effects: of the whole of it, by state.
        reasons: of each engine that is not in its fastest form, why.
    """

    forms: dict[str, Form]
    effects: Effects
    reasons: dict[str, str]


def select(
    graph: Graph,
    candidates: Mapping[str, Sequence[Form]],
    times: Mapping[str, Mapping[Form, float]],
    alone: Mapping[tuple[str, Form], Effects],
    budget: float,
    judge: Callable[[Forms], Effects],
) -> Selection:
    """Choose.

    Args:
        graph: whose engines and states they are.
        candidates: forms of each engine, the fastest first, "fp32" last.
        times: milliseconds where they were measured.
        alone: the effects of one engine in one form, all others in FP32.
        budget: the most that a state may lose, as `Effect.loss` counts.
        judge: the effects of a choice.
    """
    level = dict.fromkeys(graph.engines, 0)
    reasons: dict[str, str] = {}

    def chosen() -> dict[str, Form]:
        return {engine: candidates[engine][level[engine]] for engine in graph.engines}

    while True:
        effects = judge(chosen())
        state, loss = worst(effects)
        movable = [e for e in graph.engines if level[e] + 1 < len(candidates[e])]
        if loss <= budget or not movable:
            break
        over = [s for s, effect in effects.items() if effect.loss() > budget]
        engine = max(movable, key=lambda e: _blame(graph, e, candidates[e][level[e]], alone, over))
        form, slower = candidates[engine][level[engine] : level[engine] + 2]
        unit = UNITS[effects[state].map is not None]
        reasons[engine] = (
            f"{form} costs too much: with it {state.name} loses {loss:.3g} {unit} in all, more "
            f"than {budget:g}; {slower} instead"
        )
        level[engine] += 1
    for engine in sorted(reasons, key=lambda e: -_saved(e, candidates[e], level[e], times)):
        level[engine] -= 1
        tried = judge(chosen())
        if worst(tried)[1] <= budget:
            effects = tried
            if not level[engine]:
                del reasons[engine]
        else:
            level[engine] += 1
    return Selection(chosen(), effects, reasons)


def _blame(
    graph: Graph,
    engine: str,
    form: Form,
    alone: Mapping[tuple[str, Form], Effects],
    over: Sequence[State],
) -> tuple[bool, float]:
    """How much an engine in a form costs the states that are over the budget: whether they run
    it, and mAP points, with the cosine to break ties."""
    effects = alone.get((engine, form))
    if effects is None or form == "fp32":
        return False, 0.0
    used = any(engine in graph.plan(state).engines for state in over)
    return used, sum(max(effects[s].loss(), 0.0) + 1 - effects[s].cosine for s in over)


def _saved(
    engine: str,
    candidates: Sequence[Form],
    level: int,
    times: Mapping[str, Mapping[Form, float]],
) -> float:
    """Milliseconds that the next faster form saves; 0 where they were not measured."""
    measured = times.get(engine, {})
    slow, fast = candidates[level], candidates[level - 1]
    return measured[slow] - measured[fast] if {slow, fast} <= set(measured) else 0.0


def offered(graph: Graph, emitted: Emitted, platform: Platform) -> dict[str, list[Form]]:
    """The forms that may be chosen of each engine for `platform`; the most reduced first."""
    wanted: tuple[Form, ...] = (INT8[platform], "fp32")
    if platform == "trt":
        wanted = (INT8[platform], "fp16", "fp32")
    made: dict[str, list[Form]] = {}
    for engine in graph.engines:
        forms = [f for f in wanted if f == "fp32" or f in emitted.forms(engine)]
        half = emitted.models.get((engine, "fp16"))
        if half is not None and emitted.models.get((engine, INT8[platform])) is half:
            forms.remove("fp16")  # an edge's INT8 for TensorRT is its FP16
        made[engine] = forms
    return made


def fastest_first(forms: Sequence[Form], times: dict[Form, float]) -> list[Form]:
    """By what was measured; what was not keeps its place, the most reduced first.

    What is slower than FP32 is no choice: it would lose accuracy for nothing.
    """
    if any(form not in times for form in forms):
        return list(forms)
    faster = [f for f in forms if f == "fp32" or times[f] < times["fp32"]]
    return sorted(faster, key=lambda form: times[form])


def require(effects: Effects, budget: float, labelled: bool, what: str) -> None:
    """See that every state is inside the budget.

    Raises:
        CalibrationError: one is not; names all that are not, and what to do.
    """
    over = {s: e for s, e in effects.items() if not e.loss() <= budget}
    if not over:
        return
    named = ", ".join(f"{s.name} loses {e.loss():.3g}" for s, e in over.items())
    unit = UNITS[labelled]
    raise CalibrationError(
        f"{what} cannot be had within a budget of {budget:g} {unit}: {named}. Nothing was written: "
        "allow a larger --budget, choose per engine with --precision auto, or give more --samples"
    )
