"""The code against `docs/paper.md`: every equation, composition and number that its tables hold.

What the tables say is read from the document, so neither can drift from the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.branch import BranchOutput
from denet.cmft import CmftOutput, DownSample, to_grid
from denet.config import ModelConfig
from denet.data.transforms import AugmentConfig
from denet.dem import DEMEdge, TransposedEdge
from denet.experiments.figure import ABLATION_RATE
from denet.experiments.variants import FACTORS
from denet.graph import RGB_NIR_TIR, Call, Composition, State, execute
from denet.losses import IdentityHead, Losses, Objective, Weights
from denet.model import DENet, DenetOutput
from denet.recipe import PRESETS, Recipe, TrainConfig
from tests.conftest import TINY
from tests.denet.naive import assert_same, conv1x1, gap, random_tensor
from tests.denet.networks import randomized
from tests.denet.training import weighted
from tests.paths import DOCS

MODALITIES, PAIRS, STATES = RGB_NIR_TIR.modalities, RGB_NIR_TIR.pairs, RGB_NIR_TIR.states
Row = dict[str, str]


def table(heading: str) -> list[Row]:
    """The rows of the first table under a heading, by column."""
    text = (DOCS / "paper.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads, rows = [h.strip(" |") for h in lines[0]], lines[2:]
    return [
        dict(zip(heads, [c.strip(" |") for c in row] + [""] * (len(heads) - len(row)), strict=True))
        for row in rows
    ]


# Numbers

NOT_OF_THE_PAPER = {"workers", "seed", "precision", "validation", "evaluate_every"}
"""How a recipe is run, which changes nothing of what it means."""

NUMBERS = table("Numbers")
TABLES = {"model": ModelConfig, "train": TrainConfig, "augment": AugmentConfig}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row["setting"].strip("`"))
def test_a_preset_has_the_numbers_of_the_table(row: Row, preset: str) -> None:
    of, name = row["setting"].strip("`").split(".")
    value = getattr(getattr(PRESETS[preset], of), name)
    if value is msgspec.UNSET:  # of what is not stored
        value = PRESETS[preset].model.graph.modalities
    assert json.loads(row[f"`{preset}`"]) == json.loads(msgspec.json.encode(value))


def test_every_setting_is_in_the_table() -> None:
    every = {
        f"`{of}.{field.name}`"
        for of, table_of in TABLES.items()
        for field in msgspec.structs.fields(table_of)
        if field.name not in NOT_OF_THE_PAPER
    }
    assert [row["setting"] for row in NUMBERS if row["setting"] not in every] == []
    assert every - {row["setting"] for row in NUMBERS} == set()


def test_the_paper_s_own_numbers_are_the_preset_s() -> None:
    """What the text states as a number is what `paper` has."""
    stated = {row["setting"]: row["the paper"] for row in NUMBERS}
    numbers = {name: re.findall(r"\d+(?:\.\d+)?", text) for name, text in stated.items()}
    paper = PRESETS["paper"].train
    assert numbers["`train.lr`"] == [str(paper.lr)]
    assert numbers["`train.weight_decay`"] == [str(paper.weight_decay)]
    assert numbers["`train.milestones`"] == [str(epoch) for epoch in paper.milestones]
    assert numbers["`train.identities`"] == [str(paper.identities * paper.instances)]
    assert float(numbers["`train.dropout`"][0]) == paper.dropout
    assert (float(stated["`train.rho`"]), float(stated["`train.mu`"])) == (paper.rho, paper.mu)


# Compositions

COMPOSITIONS = {row["composition"].strip("`"): row for row in table("Compositions")}
LETTERS = {"R": "rgb", "N": "nir", "T": "tir"}
Edge = tuple[str, bool, str]
"""Source, whether it is there, target."""


def edges_in(cell: str) -> set[Edge]:
    found = [re.fullmatch(r"([RNT])('?)2([RNT])", word) for word in cell.split()]
    return {(LETTERS[e[1]], not e[2], LETTERS[e[3]]) for e in found if e is not None}


def edges_run(state: State, composition: Composition) -> set[Edge]:
    """What the plan's calls add to the parts of c(S), followed from the images on."""
    plan = RGB_NIR_TIR.plan(state, None, composition)

    def run(call: Call, inputs: dict[str, tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
        kind, _, ends = call.engine.partition("_")
        source, _, target = ends.partition("2")
        if kind == "dem":
            ((_, real),) = inputs["feature"]
            return {"enhanced": [(s[0] | {(source, real, target)}, None) for s in inputs["sum"]]}
        return {
            name: [(frozenset(), kind == "branch") for _ in names]
            for name, names in call.outputs.items()
        }

    values: dict[str, Any] = {f"image_{m}": None for m in state.available}
    execute(plan.calls, values, run)
    return {edge for part in plan.parts[:3] if part != "zero" for edge in values[part][0]}


def test_the_table_has_every_composition() -> None:
    assert set(COMPOSITIONS) == set(get_args(Composition))


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
@pytest.mark.parametrize("composition", get_args(Composition))
def test_the_edges_of_a_composition_are_those_of_the_table(
    composition: Composition, state: State
) -> None:
    name = "complete" if state == RGB_NIR_TIR.complete else state.name
    told = edges_in(COMPOSITIONS[composition][name])
    assert edges_run(state, composition) == told
    assert {(s, t) for s, _, t in told} == set(RGB_NIR_TIR.edges(state, composition))
    assert all(real == (source in state.available) for source, real, _ in told)


# Equations

EQUATIONS = {row["equation"]: row for row in table("Equations")}
PRESET_OF = {"in `paper`": "paper", "in `strong` and `small`": "small"}
PRESENT = ((column, PRESETS[preset]) for column, preset in PRESET_OF.items())


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def value(equation: str, column: str, **names: Any) -> Any:
    """What the formula in the table makes of these names."""
    (formula,) = re.findall(r"`([^`]+)`", EQUATIONS[equation][column])
    functions = {"sum": sum, "len": len, "relu": torch.relu, "cosine": cosine}
    return eval(formula, {"__builtins__": {}}, functions | names)


def deviation_of(norm: nn.Module) -> Tensor:
    return torch.sqrt(norm.running_var + norm.eps)


def check_recovered_feature(column: str, recipe: Recipe) -> None:
    down = randomized(DownSample(6, 8, 1, placed=recipe.model.placed))
    narrow = random_tensor(3, 8, 4, 2)
    names = {"expanded": down.expand(gap(narrow))}
    if recipe.model.placed:
        names |= {
            "mean": down.norm.running_mean,
            "deviation": deviation_of(down.norm),
            "gain": down.gain,
            "real_mean": down.real.running_mean,
            "real_deviation": deviation_of(down.real),
        }
    assert_same(down.pooled(narrow), value("Eq. 1-2, F'_b", column, **names))


def losses_of(form: str) -> tuple[Objective, dict[str, Any], Losses]:
    """An objective with L_rec and L_sim of a form, what it is given, and what it says."""
    with torch.device("cpu"):
        model = DENet(TINY)
    weights = weighted(rho=1, mu=1, recovery_losses=form)
    objective = randomized(Objective(model.double(), 3, weights))
    given = {
        "real": {m: random_tensor(6, model.channels).requires_grad_() for m in MODALITIES},
        "images": {m: random_tensor(6, 3, *TINY.image_size) for m in MODALITIES},
        "made": {
            edge: (
                random_tensor(6, model.channels).requires_grad_(),
                random_tensor(6, 3, *TINY.image_size),
            )
            for edge in PAIRS
        },
    }
    output = DenetOutput(
        random_tensor(6, 6, model.channels),
        random_tensor(6, model.dim),
        {m: BranchOutput(random_tensor(6, 1, 1, 1), g) for m, g in given["real"].items()},
        {},
    )
    recovered = {edge: CmftOutput(r, to_grid(M), None) for edge, (r, M) in given["made"].items()}
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return objective, given, objective.graph_losses(output, recovered, {}, given["images"], labels)


def check_recovery_losses(rec: str, sim: str, column: str, form: str) -> None:
    objective, given, losses = losses_of(form)
    recovery, similarity = [], []
    for (_, target), (r, image) in given["made"].items():
        recovery.append(value(rec, column, R=given["images"][target], M=image))
        theta = {} if objective.projections is None else objective.projections[target]
        names = {} if not theta else {"theta": theta.real, "theta_r": theta.recovered}
        similarity.append(value(sim, column, g=given["real"][target], r=r, **names))
    assert len(recovery) == len(similarity) == 6
    directions = "all directions"
    assert_same(losses.recovery, value(directions, column, directions=recovery))
    assert_same(losses.similarity, value(directions, column, directions=similarity))
    # Eq. 4 draws both sides together; the other form holds the real one still.
    losses.similarity.backward()
    assert all((g.grad is None) == (form == "centred") for g in given["real"].values())


def check_eq3(column: str, recipe: Recipe) -> None:
    form = recipe.train.recovery_losses
    check_recovery_losses(
        "Eq. 3, L_rec of a direction", "Eq. 4, L_sim of a direction", column, form
    )


def check_sums(column: str, recipe: Recipe) -> None:
    if recipe is PRESETS["paper"]:
        names = [f'Eq. {n} as a sum, `recovery_losses = "norms"`' for n in (3, 4)]
        check_recovery_losses(*names, column, "norms")


def check_product(column: str, recipe: Recipe, equation: str = "Eq. 5, the product") -> None:
    kind = DEMEdge if equation == "Eq. 5, the product" else TransposedEdge
    edge = randomized(kind(8, 3, norm=False))
    source, target = random_tensor(1, 8, 4, 2), random_tensor(1, 8, 4, 2)
    names = {
        "K": conv1x1(edge.key, source)[0].flatten(1),
        "V": conv1x1(edge.value, source)[0].flatten(1),
        "Q": conv1x1(edge.query, target)[0].flatten(1),
        "N": 8,
    }
    nothing = torch.zeros(1, 1, 8, dtype=torch.float64)
    seen = gap(target)[None] if kind is DEMEdge else target[None]
    added = edge.out(value(equation, column, **names).mean(dim=1))
    assert_same(edge(source, seen, nothing).enhanced[0, 0], added)


def check_edge(column: str, recipe: Recipe) -> None:
    edge = randomized(DEMEdge(8, 3, norm=recipe.model.edge_norm))
    bare = randomized(DEMEdge(8, 3, norm=False))
    bare.load_state_dict(
        {name: v for name, v in edge.state_dict().items() if not name.startswith("norm")}
    )
    source, base, before = random_tensor(2, 8, 4, 2), random_tensor(1, 2, 8), random_tensor(1, 2, 8)
    names = {"e": bare(source, base, torch.zeros_like(before)).enhanced}
    if recipe.model.edge_norm:
        norm = edge.norm
        names |= {
            "mean": norm.running_mean, "deviation": deviation_of(norm), "weight": norm.weight,
            "bias": norm.bias,
        }  # fmt: skip
    added = value("Eq. 6, what an edge adds", column, **names)
    assert_same(edge(source, base, before).enhanced, before + added)


def head_of(recipe: Recipe) -> IdentityHead:
    train = recipe.train
    weights = weighted(margin=train.margin, smoothing=train.smoothing)
    head = randomized(IdentityHead(nn.BatchNorm1d(5), 3, weights))
    nn.init.normal_(head.classifier.weight)
    return head


LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def check_triplet(column: str, recipe: Recipe) -> None:
    vectors = random_tensor(6, 5)
    terms = []
    for i, anchor in enumerate(vectors):
        apart = (anchor - vectors).norm(dim=1)
        far = max(d for j, d in enumerate(apart) if LABELS[j] == LABELS[i] and j != i)
        near = min(d for j, d in enumerate(apart) if LABELS[j] != LABELS[i])
        terms.append(value("Eq. 10, L_tri", column, far=far, near=near))
    _, found = head_of(recipe)(vectors, LABELS)
    violating = [term for term in terms if term > 0]
    assert violating
    assert_same(found, torch.stack(violating).mean())


def check_smoothing(column: str, recipe: Recipe) -> None:
    head, vectors = head_of(recipe), random_tensor(6, 5)
    onehot = functional.one_hot(LABELS, 3).double()
    targets = value("Eq. 11-13, the labels' targets", column, onehot=onehot, N=3)
    logarithms = head.classifier(head.neck(vectors)).log_softmax(1)
    found, _ = head(vectors, LABELS)
    assert_same(found, -(targets * logarithms).sum(1).mean())


def check_total(column: str, recipe: Recipe) -> None:
    """With other weights than the preset's, so that none of them hides behind a one."""
    train = recipe.train
    given = {n: 2.0 + i for i, n in enumerate(("rho", "mu", "branch", "plain", "states"))}
    chosen = {n: w for n, w in given.items() if getattr(train, n) or n in ("rho", "mu")}
    weights: Weights = weighted(**chosen, recovery_losses=train.recovery_losses)
    model = DENet(TINY).double()
    objective = randomized(Objective(model, 3, weights))
    pooled = {m: random_tensor(6, model.channels) for m in MODALITIES}
    images = {m: random_tensor(6, 3, *TINY.image_size) for m in MODALITIES}
    output = DenetOutput(
        random_tensor(6, 6, model.channels),
        random_tensor(6, model.dim),
        {m: BranchOutput(random_tensor(6, 1, 1, 1), g) for m, g in pooled.items()},
        {},
    )
    made = {
        e: CmftOutput(random_tensor(6, model.channels), to_grid(images[e[0]]), None) for e in PAIRS
    }
    states = {s: random_tensor(3, 6, model.channels) for s in STATES} if "states" in chosen else {}
    losses = objective.graph_losses(output, made, states, images, LABELS).plus(
        objective.branch_losses(pooled, LABELS)
    )
    names = {
        "L_ReID": losses.identity + losses.triplet, "L_rec": losses.recovery,
        "L_sim": losses.similarity, "L_branch": losses.branch, "L_plain": losses.plain,
        "L_states": losses.states,
    }  # fmt: skip
    assert_same(losses.total, value("Eq. 14, L", column, **names, **chosen))


CHECKS: dict[str, Callable[[str, Recipe], None]] = {
    "Eq. 1-2, F'_b": check_recovered_feature,
    "Eq. 3, L_rec of a direction": check_eq3,
    'Eq. 3 as a sum, `recovery_losses = "norms"`': check_sums,
    "Eq. 4, L_sim of a direction": check_eq3,
    'Eq. 4 as a sum, `recovery_losses = "norms"`': check_sums,
    "all directions": check_eq3,
    "Eq. 5, the product": check_product,
    "Eq. 5 read the other way": lambda column, recipe: check_product(
        column, recipe, "Eq. 5 read the other way"
    ),
    "Eq. 6, what an edge adds": check_edge,
    "Eq. 10, L_tri": check_triplet,
    "Eq. 11-13, the labels' targets": check_smoothing,
    "Eq. 14, L": check_total,
}


def test_every_equation_of_the_table_is_checked() -> None:
    assert EQUATIONS.keys() == CHECKS.keys()


@pytest.mark.parametrize("column", PRESET_OF)
@pytest.mark.parametrize("equation", CHECKS)
def test_the_code_computes_the_formula_of_the_table(equation: str, column: str) -> None:
    torch.manual_seed(0)
    CHECKS[equation](column, PRESETS[PRESET_OF[column]])


def test_strong_has_the_form_of_small() -> None:
    """So the table may give both one column."""
    strong, small = PRESETS["strong"], PRESETS["small"]
    for name in ("edge_norm", "placed", "composition"):
        assert getattr(strong.model, name) == getattr(small.model, name)
    for name in ("recovery_losses", "branch", "plain", "states", "margin", "smoothing"):
        assert getattr(strong.train, name) == getattr(small.train, name)


# Protocols


def test_rates_and_factors_are_those_of_the_table() -> None:
    here = {row["protocol"]: row["here"] for row in table("Protocols")}
    assert re.findall(r"\d\.\d+", here["Tables V and VI"]) == [str(ABLATION_RATE)]
    low, high = re.match(r"([\d.]+) to (\d+) times", here["Fig. 5 (a)-(c)"]).groups()  # type: ignore[union-attr]
    assert (float(low), float(high)) == (FACTORS[0], FACTORS[-1])
