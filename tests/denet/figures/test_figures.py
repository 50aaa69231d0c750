"""Figures: what they show against brute force, and that they are the same every time."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from denet.branch import BranchOutput
from denet.cmft import to_grid, to_image
from denet.config import ModelConfig, Normalization
from denet.data.records import DataSet, Record, open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.data.transforms import evaluation_transform
from denet.embed import TorchEmbedder
from denet.embedding_cache import EmbeddingCache
from denet.evaluate import Split, evaluate_rates, evaluate_states
from denet.figures import NEED_CHECKPOINT, FigureError, check_folder, draw_figures, write_figures
from denet.figures.accuracy import rate_curve, state_bars
from denet.figures.activation import activation_maps, identity_direction, overlay
from denet.figures.captions import captions
from denet.figures.choice import choose_queries, matches_of, shown_states
from denet.figures.clusters import choose_identities
from denet.figures.drawing import Drawing
from denet.figures.ranking import ranked_lists, ranking_figure
from denet.figures.recovered import denormalize, recover_images
from denet.figures.style import RIGHT, WRONG, render
from denet.graph import RGB_NIR_TIR, State, branch_engine, cmft_engine
from denet.initialize import initial_model, random_images
from denet.metrics import Ranking
from denet.model import DENet
from tests.conftest import TINY

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
PAIRS = RGB_NIR_TIR.pairs
STATES = RGB_NIR_TIR.states

RANGES = dict.fromkeys(MODALITIES, (0, 65535))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(root, SyntheticConfig(identities=8, cameras=3, shots=2, height=32, width=16))
    return open_data(root)


@pytest.fixture(scope="module")
def tiny() -> DENet:
    return initial_model(TINY, seed=0, pretrained=False)


@pytest.fixture(scope="module")
def split(data: DataSet) -> Split:
    return Split(data.query, data.gallery)


def vague(records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
    """Embeddings that tell identities apart, but not well."""
    rows = []
    for record, state in zip(records, states, strict=True):
        seed = sum(map(ord, record.name + state.name))
        row = np.random.default_rng(seed).normal(size=16)
        row[record.identity % 8] += 2
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, np.float32)


# Ranking lists


def walked(split: Split, query: Record, state: State) -> list[tuple[str, bool]]:
    """What a query finds, by walking down the whole gallery."""
    gallery = vague(split.gallery, [state] * len(split.gallery))
    mine = vague([query], [state])[0]
    order = sorted(range(len(gallery)), key=lambda i: (-float(mine @ gallery[i]), i))
    items = []
    for i in order:
        record = split.gallery[i]
        if record.identity == query.identity and record.camera == query.camera:
            continue
        items.append((record.name, record.identity == query.identity))
    return items[:10]


def test_frames_are_green_where_the_identity_is_right(split: Split) -> None:
    queries = choose_queries(split, 3, seed=0)
    lists = ranked_lists(vague, split, queries, shown_states(RGB_NIR_TIR))
    expected: list[str] = []
    for ranked, (query, state) in zip(
        lists, ((q, s) for q in queries for s in shown_states(RGB_NIR_TIR)), strict=True
    ):
        items = walked(split, split.query[query], state)
        assert ranked.state == RGB_NIR_TIR.state(ranked.query.images) == state
        assert [(record.name, right) for record, right in ranked.found] == items
        assert all(RGB_NIR_TIR.state(record.images) == state for record, _ in ranked.found)
        row = [RIGHT if right else WRONG for _, right in items]
        expected += row * len(state.available)
    assert {RIGHT, WRONG} == set(expected)
    (axes,) = ranking_figure(lists, RANGES).axes
    assert [to_hex(frame.get_edgecolor()) for frame in axes.patches] == expected


def test_queries_have_matches_and_are_different_people(split: Split) -> None:
    chosen = choose_queries(split, 3, seed=5)
    assert chosen == choose_queries(split, 3, seed=5)
    assert any(choose_queries(split, 3, seed) != chosen for seed in range(5))
    assert len({split.query[q].identity for q in chosen}) == 3
    alone = tuple(r for r in split.gallery if r.identity != split.query[chosen[0]].identity)
    without = Split(split.query, alone)
    assert not matches_of(without, chosen[0])
    assert chosen[0] not in choose_queries(without, 99, seed=5)
    for query in chosen:
        for item in matches_of(split, query):
            assert split.gallery[item].identity == split.query[query].identity
            assert split.gallery[item].camera != split.query[query].camera


# Recovered images


def test_a_recovered_real_image_has_the_pixels_of_the_real_image() -> None:
    normalization = Normalization(mean=(0.2, 0.5, 0.7), std=(0.3, 0.15, 0.25))
    config = ModelConfig(image_size=(32, 16), normalization={"tir": normalization})
    pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 3)).astype(np.uint8)
    normalized = evaluation_transform(config, "tir")(Image.fromarray(pixels))
    back = denormalize(to_image(to_grid(normalized[None]))[0], normalization)
    assert np.array_equal(back, pixels)


def test_what_is_out_of_range_is_cut_off() -> None:
    image = torch.stack([torch.full((2, 2), value) for value in (-9.0, 0.0, 9.0)])
    assert denormalize(image, Normalization())[0, 0].tolist() == [0, round(255 * 0.456), 255]


def test_all_six_directions_are_recovered(tiny: DENet, split: Split) -> None:
    record = split.query[0]
    real, recovered = recover_images(tiny, record)
    assert list(real) == list(MODALITIES)
    assert set(recovered) == set(PAIRS)
    height, width = tiny.config.image_size
    rgb = record.open()["rgb"].resize((width, height), Image.Resampling.BILINEAR)
    assert np.abs(real["rgb"].astype(int) - np.asarray(rgb).astype(int)).max() <= 1
    transform = evaluation_transform(tiny.config, "tir")
    with torch.no_grad():
        feature = tiny.engines[branch_engine("tir")](transform(record.open()["tir"])[None]).feature
        grid = tiny.engines[cmft_engine("tir", "rgb")](feature).grid
    expected = denormalize(to_image(grid)[0], tiny.config.normalization_of("rgb"))
    assert np.abs(recovered["tir", "rgb"].astype(int) - expected.astype(int)).max() <= 1


# Activation maps


def test_an_activation_map_is_a_directional_derivative(tiny: DENet) -> None:
    """sum_c mean(dcos/dF_c) F_c(p) is the slope of the cosine where F(p) is added everywhere."""
    exact = copy.deepcopy(tiny).double()
    generator = torch.Generator().manual_seed(3)
    images = {m: random_images(1, tiny.config.image_size, generator).double() for m in MODALITIES}
    state = RGB_NIR_TIR.parse("rgb+tir")
    target = torch.randn(6 * tiny.channels, generator=generator, dtype=torch.float64)
    maps = activation_maps(exact, images, state, target)
    assert set(maps) == set(state.available)

    step = 1e-5
    for modality in state.available:
        engine = exact.engines[branch_engine(modality)]
        with torch.no_grad():
            feature = engine(images[modality]).feature[0]

        def cosine(added: Tensor, engine: torch.nn.Module = engine) -> float:
            def add(_: object, __: object, made: BranchOutput) -> BranchOutput:
                more = made.feature + added[None, :, None, None]
                return BranchOutput(more, more.mean(dim=(2, 3)))

            handle = engine.register_forward_hook(add)
            try:
                with torch.no_grad():
                    made = exact(images, state).embedding
            finally:
                handle.remove()
            return float(functional.cosine_similarity(made, target[None]))

        places = feature.flatten(1).T
        slopes = [(cosine(step * f) - cosine(-step * f)) / (2 * step) for f in places]
        expected = np.maximum(np.array(slopes) / len(places), 0).reshape(tiny.feature_size)
        assert expected.any()
        np.testing.assert_allclose(maps[modality].numpy(), expected, rtol=1e-4, atol=1e-10)


def test_the_direction_of_an_identity_leaves_out_its_own_camera(split: Split) -> None:
    wanted = split.query[4]
    rows = vague(split.gallery, [COMPLETE] * len(split.gallery))
    mine = [
        row
        for row, record in zip(rows, split.gallery, strict=True)
        if record.identity == wanted.identity and record.camera != wanted.camera
    ]
    expected = np.mean(mine, axis=0) - np.mean(rows, axis=0)
    np.testing.assert_allclose(identity_direction(vague, split, 4), expected, atol=1e-6)


def test_where_a_map_is_cold_its_image_is_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 3)).astype(np.uint8)
    heat = np.zeros((4, 2), np.float32)
    grey = np.rint(pixels.mean(axis=2))
    assert np.array_equal(overlay(pixels, heat), np.repeat(grey[:, :, None], 3, axis=2))
    heat[0, 0] = 1
    warm = overlay(pixels, heat)
    assert (warm[0, 0].max() - warm[0, 0].min()) > 20
    assert np.array_equal(warm[-1, -1], [grey[-1, -1]] * 3)


# Charts


def ranking(precision: float, first: int) -> Ranking:
    return Ranking(np.array([precision]), np.array([first]))


def test_charts_show_the_numbers() -> None:
    models = {
        name: {state: ranking(0.1 * i + part, 0) for i, state in enumerate(STATES)}
        for name, part in (("one", 0.01), ("two", 0.02))
    }
    (axes,) = state_bars(RGB_NIR_TIR, models).axes
    for bars, rankings in zip(axes.containers, models.values(), strict=True):
        assert [bar.get_height() for bar in bars] == [rankings[s].map for s in STATES]
    rates = {1.0: ranking(0.2, 3), 0.0: ranking(0.9, 0), 0.5: ranking(0.4, 0)}
    (axes,) = rate_curve(rates).axes
    precision, first = axes.get_lines()
    assert precision.get_xdata().tolist() == [0, 50, 100]
    assert precision.get_ydata().tolist() == pytest.approx([90, 40, 20])
    assert first.get_ydata().tolist() == [100, 100, 0]


def test_clusters_show_only_identities_of_several_cameras(split: Split) -> None:
    lone = split.gallery[0].identity
    first = split.gallery[0].camera
    kept = tuple(r for r in split.gallery if r.identity != lone or r.camera == first)
    chosen = choose_identities(Split(split.query, kept), seed=0)
    assert lone not in {record.identity for record in chosen}
    assert len(chosen) == sum(record.identity != lone for record in kept)


# All together


def test_the_figures_of_a_checkpoint_and_of_a_bundle(tiny: DENet, split: Split) -> None:
    embed = EmbeddingCache(TorchEmbedder(tiny, torch.device("cpu")))
    states = {"model": evaluate_states(embed, split)}
    rates = evaluate_rates(embed, split, [0.0, 1.0], seed=0)

    def drawn(network: DENet | None, seed: int) -> list[Drawing]:
        return draw_figures(split, embed, states, rates, model=network, ranges=RANGES, seed=seed)

    whole = drawn(tiny, 0)
    assert [drawing.name for drawing in whole] == list(captions(RGB_NIR_TIR))
    for drawing in whole:
        with Image.open(io.BytesIO(drawing.png)) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300
            assert image.width // 2 == drawing.width
            assert len(image.convert("L").getcolors() or []) > 5
    # Drawn again, the figures of embeddings are the same to the byte.
    assert [d for d in whole if d.name not in NEED_CHECKPOINT] == drawn(None, 0)


def test_a_persons_own_style_changes_nothing() -> None:
    rates = {0.0: ranking(0.9, 0), 1.0: ranking(0.2, 3)}
    plain = render(lambda: rate_curve(rates))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        assert render(lambda: rate_curve(rates)) == plain
        assert dict(matplotlib.rcParams) == before


def test_each_sample_is_embedded_once_in_each_state(split: Split) -> None:
    asked: list[tuple[str, State]] = []

    def embed(records: Sequence[Record], states: Sequence[State]) -> NDArray[np.float32]:
        asked.extend((r.name, s) for r, s in zip(records, states, strict=True))
        return vague(records, states)

    cached = EmbeddingCache(embed)
    twice = (*split.query, *split.query)
    states = [STATES[i % 7] for i in range(len(twice))]
    assert np.array_equal(cached(twice, states), vague(twice, states))
    assert (
        evaluate_states(cached, split)[COMPLETE].map == evaluate_states(vague, split)[COMPLETE].map
    )
    assert len(asked) == len(set(asked)) == 7 * len(split.query)


# Files


def test_figures_are_written_whole_or_refused(tmp_path: Path) -> None:
    drawings = [Drawing("a", "", b"1"), Drawing("b", "", b"2")]
    folder = tmp_path / "new"
    check_folder(folder, "ab", replace=False)
    assert write_figures(folder, drawings) == [folder / "a.png", folder / "b.png"]
    assert (folder / "b.png").read_bytes() == b"2"
    with pytest.raises(FigureError, match=r"not empty.*--force"):
        check_folder(folder, "ab", replace=False)
    with pytest.raises(FigureError, match=r"a\.png: is there and is not a figure of denet"):
        check_folder(folder, "ab", replace=True)
    check_folder(folder, "cd", replace=True)
    with pytest.raises(FigureError, match="is a file"):
        check_folder(folder / "a.png", "ab", replace=True)
    with pytest.raises(FigureError, match="does not exist"):
        check_folder(tmp_path / "no" / "where", "ab", replace=False)
    (tmp_path / "blocked" / "a.png").mkdir(parents=True)
    with pytest.raises(FigureError, match=r"blocked/a\.png: is a folder"):
        write_figures(tmp_path / "blocked", drawings)
    assert [path.name for path in (tmp_path / "blocked").iterdir()] == ["a.png"]
