"""The figures of a calibration."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from calibration import figures
from calibration.facts import worst_alone
from calibration.figures.changes import change_figure
from calibration.figures.fleet import fleet_figure
from calibration.figures.scale import Scale
from calibration.figures.sensitivity import sensitivity_figure
from calibration.figures.times import time_figure
from calibration.outcome import Outcome
from denet.figures import style
from denet.graph import Graph, State
from runtime.bundle.forms import Form
from tests.calibration.outcomes import BUDGET, ENGINES, STATES, TIR, effect


def test_plots_look_as_the_figures_of_the_project() -> None:
    names = {"INK", "MUTED", "GRID", "RIGHT", "WRONG", "SERIES", "STYLE", "DOTS", "PIXELS_PER_INCH"}
    modules = [
        import_module(f"{figures.__name__}.{module.name}")
        for module in iter_modules(figures.__path__)
    ]
    used = [(module, name) for module in modules for name in names & set(vars(module))]
    assert {name for _, name in used} >= {"INK", "MUTED", "GRID", "RIGHT", "WRONG", "SERIES"}
    for module, name in used:
        assert getattr(module, name) == getattr(style, name), name


def test_titles_say_what_is_seen(played: Outcome) -> None:
    scale = Scale(True, BUDGET)
    inside = {"mixed-vnni": played.whole["mixed-vnni"]}
    title = change_figure(inside, scale).get_suptitle()
    assert title == "Every state is inside the budget of 0.5 points of mAP"
    assert change_figure(played.whole, scale).get_suptitle().endswith(": int8-vnni")
    title = sensitivity_figure(ENGINES, worst_alone(played), (), (), scale).get_suptitle()
    assert "branch_rgb in int8-vnni" in title
    assert "0.77 points of mAP, more than the budget" in title
    title = fleet_figure(inside, scale).get_suptitle()
    assert "at most 0.44 points of mAP: mixed-vnni in rgb+nir+tir" in title
    title = time_figure(
        ENGINES, {"branch_rgb": {"fp32": 2.0, "int8-vnni": 0.5}}, "a CPU"
    ).get_suptitle()
    assert "4.0 times as fast: 1 of 1 engines take 0.500 ms instead of 2.00" in title
    title = time_figure(ENGINES, played.times, "a CPU").get_suptitle()
    assert "14 of 15 engines take 9.75 ms instead of 28.0" in title
    title = time_figure(
        ENGINES, {"branch_rgb": {"fp32": 2.0, "int8-vnni": 4.0}}, "a CPU"
    ).get_suptitle()
    assert "int8-vnni is slower, 0.5 times as fast" in title


def test_plots_of_extremes() -> None:
    nothing = {"fp16": {state: effect(0.0, 1.0) for state in STATES}}
    for scale in (Scale(True, 0.0), Scale(True, 100.0), Scale(False, 0.0)):
        style.render(lambda scale=scale: change_figure(nothing, scale))
    one = {("dem_rgb2nir", "fp16"): (TIR, 0.0)}
    figure = sensitivity_figure(ENGINES, one, (), (), Scale(True, 0.0))
    assert figure.get_suptitle() == "No engine alone costs any state anything"
    disaster = {"int8-vnni": {TIR: effect(-79.0)}}
    ((shown_axes,),) = [change_figure(disaster, Scale(True, BUDGET)).axes]
    assert shown_axes.get_xlim()[0] > -5


def test_figures_follow_the_graph() -> None:
    graph = Graph(("rgb", "tir"))
    losses: dict[tuple[str, Form], tuple[State, float]] = {
        (engine, "fp16"): (graph.complete, 0.1) for engine in graph.engines
    }
    figure = sensitivity_figure(graph.engines, losses, (), (), Scale(True, BUDGET))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(graph.engines)
    times: dict[str, dict[Form, float]] = {"branch_rgb": {"fp32": 2.0}}
    for modalities in (("rgb",), ("rgb", "tir")):
        drawn = time_figure(Graph(modalities).engines, times, "a CPU")
        assert [ax.get_title() for ax in drawn.axes] == ["branches"]
        style.render(lambda drawn=drawn: drawn)
