"""Experiments: what is varied, and one run whose numbers are made again."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import Result

from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.data.dataset import EvaluationSet
from denet.data.records import DataSet, Record, open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.errors import DenetError
from denet.experiments.catalog import (
    EXPERIMENTS,
    ExperimentError,
)
from denet.experiments.catalog import experiment as named
from denet.experiments.gaps import GapVariant
from denet.experiments.methods import with_methods
from denet.experiments.pictures import _DRAWERS, draw
from denet.experiments.rivals import RivalVariant
from denet.experiments.study import jobs_of, run_jobs, varied_recipe
from denet.experiments.tables import mean_and_spread
from denet.graph import RGB_NIR_TIR, State
from denet.initialize import initial_model
from denet.recipe import PRESETS, Recipe
from denet.rivals.catalog import METHODS
from tests.command import denet, refused, tiny_recipe
from tests.conftest import TINY
from tests.denet.experiments.results import PAIRS, SMALL, STATES, fabricated, with_results

# What is varied


def test_a_varied_recipe_has_the_changes_and_the_seed_and_else_its_own_values() -> None:
    changed = varied_recipe(SMALL, {"train": {"rho": 0.25}, "model": {"composition": "fixed"}}, 7)
    assert changed == Recipe(
        model=msgspec.structs.replace(SMALL.model, composition="fixed"),
        train=msgspec.structs.replace(SMALL.train, rho=0.25, seed=7),
        augment=SMALL.augment,
    )
    assert varied_recipe(SMALL, {}, SMALL.train.seed) == SMALL


@pytest.mark.parametrize("preset", PRESETS)
def test_every_variant_of_every_experiment_is_a_recipe(preset: str) -> None:
    for each in EXPERIMENTS.values():
        for variant in each.variants:
            made = varied_recipe(PRESETS[preset], variant.changes, 1)
            assert (made == PRESETS[preset]) is False  # at least the seed
            assert made.train.seed == 1


def test_equal_keys_are_equal_changes_and_other_keys_are_others() -> None:
    found: dict[str, str] = {}
    for each in EXPERIMENTS.values():
        assert len({variant.key for variant in each.variants}) == len(each.variants)
        for rows in (block.variants for block in each.blocks):
            assert len({variant.label for variant in rows}) == len(rows)
            assert {variant.key for variant in rows} <= {v.key for v in each.variants}
        for variant in each.variants:
            # Not `small`: its backbone is one of those that are compared.
            made = varied_recipe(PRESETS["strong"], variant.changes, 0)
            recipe = json.dumps(msgspec.to_builtins(made))
            if isinstance(variant, GapVariant):  # the same recipe, on other data
                recipe += f" {variant.share} {variant.whole} {variant.repeated}"
            if isinstance(variant, RivalVariant):  # the same recipe, of another network
                recipe += f" {variant.rival}"
            assert found.setdefault(variant.key, recipe) == recipe, variant.key
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("weight", ["rho", "mu"])
def test_a_sweep_is_of_the_recipe_s_own_weight(weight: str, preset: str) -> None:
    own = PRESETS[preset]
    made = [varied_recipe(own, v.changes, 0) for v in named(f"fig5-{weight}").variants]
    base = getattr(own.train, weight)
    assert [getattr(r.train, weight) for r in made] == pytest.approx(
        [base * factor for factor in (0.01, 0.1, 1, 10, 100)]
    )
    assert named(f"fig5-{weight}").variants[2].key == "denet"


def test_the_literal_form_is_the_preset_paper_s_at_other_sizes() -> None:
    literal = varied_recipe(SMALL, named("literal").variants[0].changes, 0)
    paper = PRESETS["paper"]
    assert literal.model == msgspec.structs.replace(
        paper.model, backbone="resnet10", image_size=(96, 48), cmft_width=64
    )
    assert literal.train == msgspec.structs.replace(
        paper.train, epochs=21, milestones=(10, 19), pretrained=False, workers=1
    )
    assert literal.augment == SMALL.augment


def test_the_ablation_has_each_combination_once() -> None:
    made = [varied_recipe(SMALL, v.changes, 0) for v in named("table5").variants]
    found = {(r.train.rho > 0, r.train.mu > 0, r.model.composition == "dynamic"): r for r in made}
    assert len(made) == len(found) == 8
    whole = found[True, True, True]
    assert whole == varied_recipe(SMALL, {}, 0)
    for (rec, sim, dem), recipe in found.items():
        train = msgspec.structs.replace(
            whole.train, rho=whole.train.rho * rec, mu=whole.train.mu * sim
        )
        model = msgspec.structs.replace(whole.model, composition="dynamic" if dem else "none")
        assert (recipe.train, recipe.model) == (train, model)


def test_experiments_share_their_runs_which_come_seed_by_seed(tmp_path: Path) -> None:
    jobs = jobs_of([named("table1"), named("table7"), named("table1")], SMALL, 2, tmp_path)
    keys = ["concat", "concat-alike", "denet", "fixed", "single"]
    assert [(job.variant.key, job.seed) for job in jobs] == [(k, s) for s in (0, 1) for k in keys]
    assert len({job.run for job in jobs}) == len(jobs)
    assert all(job.checkpoint.parent == job.run for job in jobs)
    for job in jobs:
        assert job.run.parent.parent == tmp_path
        assert job.recipe == varied_recipe(SMALL, job.variant.changes, job.seed)


def test_every_job_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """And is there what it was, but for changes that its recipe has by then."""
    chosen = [with_methods(name, each, tuple(METHODS)) for name, each in EXPERIMENTS.items()]
    for job in jobs_of(chosen, SMALL, 1, tmp_path):
        there = pickle.loads(pickle.dumps(job.for_process()))
        assert replace(there, variant=job.variant) == job
        assert replace(there.variant, changes=job.variant.changes) == job.variant


def test_the_names_in_the_help_are_the_experiments() -> None:
    assert list(EXPERIMENTS) == [
        *(f"table{i}" for i in range(1, 8)),
        "fig5",
        *(f"fig5-{weight}" for weight in ("rho", "mu", "eta")),
        *("fig6", "fig7", "fig8", "compositions", "literal", "states", "backbones"),
        *("gaps", "gaps-steps"),
    ]
    drawn = {name for name, each in EXPERIMENTS.items() if each.picture}
    assert drawn == set(_DRAWERS)
    assert all(each.blocks or each.picture for each in EXPERIMENTS.values())
    with pytest.raises(ExperimentError, match=r"'table8': choose from table1, .*states"):
        named("table8")


# What a run gives


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(path, SyntheticConfig(identities=8, cameras=2, shots=2, height=32, width=16))
    return path


TOML = tiny_recipe(epochs=1, graph_epochs=1, workers=0)


def experiment(name: str, root: Path, out: Path, *, toml: str = TOML, seeds: int = 2) -> Result:
    recipe = out.parent / "tiny.toml"
    recipe.write_text(toml)
    arguments = ["experiment", name, root, "--out", out, "--preset", "small", "--config", recipe,
                 "--seeds", seeds]  # fmt: skip
    return denet(*arguments)


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `denet experiment table1,table2` left: six runs and two tables."""
    out = tmp_path_factory.mktemp("experiment") / "out"
    result = experiment("table1,table2", root, out)
    assert result.exit_code == 0, result.output
    return out


def embedded(checkpoint: Path, records: Sequence[Record], state: State) -> NDArray[np.float32]:
    model = load_checkpoint(checkpoint)
    data = EvaluationSet([record.within(state) for record in records], model.config)
    images = [data[i][0] for i in range(len(data))]
    with torch.inference_mode():
        batch = {m: torch.stack([each[m] for each in images]) for m in state.available}
        embedding: NDArray[np.float32] = model(batch, state).embedding.numpy()
    return embedding


def accuracy(
    data: DataSet, queries: NDArray[np.float32], gallery: NDArray[np.float32]
) -> tuple[float, float]:
    """mAP and R1, query by query."""
    precisions, first = [], []
    for query, vector in zip(data.query, queries, strict=True):
        candidates = [
            (float(vector @ other), record.identity == query.identity)
            for record, other in zip(data.gallery, gallery, strict=True)
            if (record.identity, record.camera) != (query.identity, query.camera)
        ]
        right = [hit for _, hit in sorted(candidates, key=lambda c: -c[0])]
        hits = [place for place, hit in enumerate(right, 1) if hit]
        precisions.append(np.mean([n / place for n, place in enumerate(hits, 1)]))
        first.append(hits[0] == 1)
    return 100 * float(np.mean(precisions)), 100 * float(np.mean(first))


def rows_of(table: Path) -> dict[str, dict[str, str]]:
    """By label and head, the cells of all Markdown tables of a file."""
    cells: dict[str, dict[str, str]] = {}
    for text in table.read_text().split("**\n\n")[1:]:
        lines = [
            [cell.strip() for cell in line.strip("|").split(" | ")]
            for line in text.splitlines()
            if line.startswith("|")
        ]
        for row in lines[2:]:
            cells.setdefault(row[0], {}).update(zip(lines[0][1:], row[1:], strict=True))
    return cells


def test_the_tables_are_what_the_checkpoints_of_their_runs_give(done: Path, root: Path) -> None:
    data = open_data(root)
    keys = {
        "concat": "three branches, concatenated",
        "concat-alike": "the same, its branches trained as DENet's",
        "denet": "DENet",
    }
    assert {p.name for p in (done / "runs").iterdir()} == {
        f"{k}-seed{s}" for k in keys for s in (0, 1)
    }
    assert {p.name for p in done.iterdir()} == {"runs", "branches", "table1.md", "table2.md"}
    table1, table2 = rows_of(done / "table1.md"), rows_of(done / "table2.md")
    assert list(table1)[:3] == list(table2)[:3] == list(keys.values())
    singles = {m: RGB_NIR_TIR.parse(m) for m in ("rgb", "nir", "tir")}
    for key, label in keys.items():
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for seed in (0, 1):
            run = done / "runs" / f"{key}-seed{seed}"
            facts = json.loads((run / "result.json").read_text())["facts"]
            by_state = {s: embedded(run / "best.safetensors", data.query, s) for s in STATES}
            assert data.gallery == data.query
            cells = [(s, s) for s in STATES] + [(singles[q], singles[g]) for q, g in PAIRS]
            for q, g in cells:
                made = accuracy(data, by_state[q], by_state[g])
                found.setdefault((q.name, g.name), []).append(made)
                fact = facts["matrix"][f"{q} / {g}"]
                assert (fact["mAP"], fact["R1"]) == pytest.approx(made)
        for s in STATES:
            name = "complete" if s == STATES[0] else s.name
            for place, metric in enumerate(("mAP", "R1")):
                values = [cell[place] for cell in found[s.name, s.name]]
                assert table1[label][f"{metric} {name}"] == mean_and_spread(values)
                if s.name in ("rgb+nir", "rgb+tir"):
                    assert table2[label][f"{metric} {name}"] == mean_and_spread(values)
        for q, g in PAIRS:
            shown = table2[label][f"mAP {q} -> {g}"]
            assert shown == mean_and_spread([m for m, _ in found[q, g]])
        means = [np.mean([found[pair][seed][0] for pair in PAIRS]) for seed in (0, 1)]
        assert table2[label]["mAP mean"] == mean_and_spread([float(m) for m in means])


def snapshot(out: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(out)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in (out / "runs").rglob("*")
        if p.is_file()
    }


def test_finished_runs_are_kept(done: Path, root: Path) -> None:
    before = snapshot(done)
    tables = (done / "table1.md").read_bytes()
    result = experiment("fig5-eta,fig6,table1", root, done)
    assert result.exit_code == 0, result.output
    assert snapshot(done) == before
    assert (done / "table1.md").read_bytes() == tables
    assert (done / "fig5-eta.md").is_file()
    shows_something((done / "fig6.png").read_bytes())
    assert not (done / "fig6.md").exists()


def test_ranking_lists_are_of_denet_and_of_cal(done: Path, root: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(done, tmp_path / "out"))
    before = snapshot(out)
    result = experiment("fig8", root, out, seeds=1)
    assert result.exit_code == 0, result.output
    after = snapshot(out)
    assert {path: after[path] for path in before} == before
    assert {Path(path).parts[-2] for path in set(after) - set(before)} == {"rival-cal-seed0"}
    shows_something((out / "fig8.png").read_bytes())


def shows_something(png: bytes) -> None:
    with Image.open(io.BytesIO(png)) as image:
        assert len(image.convert("L").getcolors() or []) > 5


@pytest.mark.parametrize("name", ["fig5", "fig7"])
def test_pictures_are_drawn_of_finished_runs(name: str, root: Path, tmp_path: Path) -> None:
    jobs = with_results(named(name), tmp_path, fabricated())
    for job in jobs if name == "fig7" else ():
        save_checkpoint(initial_model(TINY, seed=0, pretrained=False), job.checkpoint)
    shows_something(draw(name, jobs, open_data(root)))


def test_another_recipe_or_other_data_in_the_same_place(
    done: Path, root: Path, tmp_path: Path
) -> None:
    before = snapshot(done)
    other = TOML + "lr = 0.5\n"
    refused(experiment("table1", root, done, toml=other), "concat-seed0", "another recipe", "--out")
    fewer = tmp_path / "fewer"
    shutil.copytree(root, fewer)
    name = open_data(root).train[0].name
    for image in fewer.rglob(f"{name}.*"):
        image.unlink()
    refused(experiment("table1", fewer, done), "concat-seed0", "other data", "--out")
    assert snapshot(done) == before


def test_a_damaged_result(tmp_path: Path, root: Path) -> None:
    jobs = with_results(named("states"), tmp_path, {})
    for content in ("{", "[]", "{}"):
        jobs[0].result.write_text(content)
        with pytest.raises(ExperimentError, match=r"result\.json: .*remove it"):
            run_jobs(jobs, open_data(root), 1, lambda _: None)


def test_a_training_that_fails_ends_the_others(tmp_path: Path, root: Path) -> None:
    endless = varied_recipe(SMALL, {}, 0)
    endless = msgspec.structs.replace(
        endless,
        model=TINY,
        train=msgspec.structs.replace(endless.train, identities=2, epochs=10**6, workers=0),
    )
    failing, other = jobs_of([named("table1")], endless, 1, tmp_path)[:2]
    failing.run.parent.mkdir()
    failing.run.touch()
    with pytest.raises(DenetError, match=failing.run.name):
        run_jobs([other, failing], open_data(root), 2, lambda _: None)
    assert multiprocessing.active_children() == []
    assert not other.result.exists()


def test_an_unknown_experiment_or_preset_is_one_line(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "out"
    refused(experiment("table1,table9", root, out), "table9", "table1", "fig5-rho")
    refused(experiment("table1", tmp_path / "none", out), "none")
    assert not out.exists()


def test_a_state_is_measured_on_the_test_samples_that_can_be_in_it(
    tmp_path: Path, root: Path
) -> None:
    poor = tmp_path / "poor"
    shutil.copytree(root, poor)
    name = open_data(root).query[0].name
    (image,) = (poor / "test" / "NI").glob(f"{name}.*")
    image.unlink()
    result = experiment("states", poor, tmp_path / "out", seeds=1)
    assert result.exit_code == 0, result.output
    assert "rgb+nir+tir 15 of 16, rgb+nir 15 of 16, nir+tir 15 of 16, nir 15 of 16" in (
        " ".join(result.output.split())
    )
