"""What the pictures after the paper's Fig. 5 to 8 show, against brute force."""

from __future__ import annotations

import copy
from statistics import mean

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from denet.cmft import CmftOutput
from denet.data.dataset import EvaluationSet
from denet.data.records import DataSet
from denet.evaluate import Split
from denet.figures.clusters import choose_identities
from denet.figures.modalities import modalities_figure, modality_features
from denet.figures.ranking import RankedList, ranking_figure
from denet.figures.recovered_activation import recovered_activation
from denet.figures.sweep import Panel, sweep_figure
from denet.graph import RGB_NIR_TIR
from denet.initialize import initial_model, random_images
from denet.model import DENet
from tests.conftest import TINY
from tests.denet.naive import naive_cmft
from tests.denet.networks import variant

MODALITIES = RGB_NIR_TIR.modalities


@pytest.fixture(scope="module", params=[True, False], ids=["placed", "bare"])
def network(request: pytest.FixtureRequest) -> DENet:
    config = msgspec.structs.replace(TINY, image_size=(64, 32), placed=request.param)
    return initial_model(config, seed=0, pretrained=False)


def test_recovered_maps_show_how_each_place_pulls(network: DENet) -> None:
    """By finite differences, as Grad-CAM defines it, from the recovered map's own mean."""
    exact = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(3)
    image = random_images(1, exact.config.image_size, generator).double()
    target = torch.randn(exact.dim, generator=generator, dtype=torch.float64)
    state, step = RGB_NIR_TIR.parse("rgb"), 1e-5
    maps = recovered_activation(exact, image, target)
    assert list(maps) == ["nir", "tir"]
    with torch.no_grad():
        feature = exact.engines["branch_rgb"](image).feature
    for modality, found in maps.items():
        engine = exact.engines[f"cmft_rgb2{modality}"]
        with torch.no_grad():
            recovered = naive_cmft(engine, feature)[0][0]

        def cosine(added: Tensor, engine: torch.nn.Module = engine) -> float:
            def add(_: object, __: object, made: CmftOutput) -> CmftOutput:
                return made._replace(pooled=made.pooled + added[None])

            handle = engine.register_forward_hook(add)
            try:
                with torch.no_grad():
                    made = exact({"rgb": image}, state).embedding
            finally:
                handle.remove()
            return float(functional.cosine_similarity(made, target[None]))

        places = recovered.flatten(1).T
        slopes = np.array([(cosine(step * f) - cosine(-step * f)) / (2 * step) for f in places])
        pulls = slopes / len(places)
        expected = np.maximum(pulls - pulls.mean(), 0).reshape(recovered.shape[1:])
        assert expected.any()
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-10)


def test_features_without_and_with_what_the_network_adds(
    network: DENet, small_set: DataSet
) -> None:
    split = Split(small_set.query, small_set.gallery)
    records = choose_identities(split, 0, 2)
    assert len({record.identity for record in records}) == 2
    found = modality_features(network, records)
    data = EvaluationSet([r.within(RGB_NIR_TIR.complete) for r in records], network.config)
    with torch.no_grad():
        for i, _ in enumerate(records):
            images = {m: image[None] for m, image in data[i][0].items()}
            whole = network(images, RGB_NIR_TIR.complete)
            bare = variant(network, composition="none")(images, RGB_NIR_TIR.complete)
            pairs = [(found.enhanced, whole.embedding), (found.bare, bare.embedding)]
            for m in MODALITIES:
                pooled = network.engines[f"branch_{m}"](images[m]).pooled
                made = pooled
                if m != "rgb":
                    feature = network.engines["branch_rgb"](images["rgb"]).feature
                    made = network.engines[f"cmft_rgb2{m}"](feature).pooled
                pairs += [(found.real[m], pooled), (found.recovered[m], made)]
            for mine, expected in pairs:
                np.testing.assert_allclose(mine[i], expected[0].numpy(), rtol=1e-3, atol=1e-5)
    figure = modalities_figure(found, records, seed=0)
    points = [len(axes.lines) for axes in figure.axes]
    assert points == [len(records)] * 2 + [3 * len(records)] * 2
    shapes = [{line.get_marker() for line in axes.lines} for axes in figure.axes]
    assert [len(each) for each in shapes] == [1, 1, 3, 3]
    assert len({line.get_color() for line in figure.axes[0].lines}) == 2


def test_a_sweep_goes_through_the_means() -> None:
    values = [[1.0, 3.0], [10.0, 20.0], [4.0, 4.0]]
    panel = Panel("A", "rho", [0.1, 1, 10], {"mAP": values}, logarithmic=True)
    figure = sweep_figure((panel, panel))
    assert len(figure.axes) == 2
    for axes in figure.axes:
        line = axes.lines[0]
        assert list(line.get_xdata()) == [0.1, 1, 10]
        assert list(line.get_ydata()) == [mean(each) for each in values]
        assert axes.get_xscale() == "log"


def test_ranking_lists_of_one_modality_have_a_row_each_and_their_labels(
    small_set: DataSet,
) -> None:
    states = [RGB_NIR_TIR.complete, RGB_NIR_TIR.parse("rgb")]
    record, *others = small_set.gallery
    lists = [
        RankedList(record.within(s), s, tuple((o.within(s), o.camera == 0) for o in others[:4]))
        for s in states
    ]
    ranges = dict.fromkeys(MODALITIES, (0, 65535))
    figure = ranking_figure(lists, ranges, only="rgb", labels=["(a) all", "(b) one"])
    (axes,) = figure.axes
    assert len(axes.patches) == 2 * 4
    words = {text.get_text() for text in axes.texts}
    assert {"(a) all", "(b) one"} <= words
    assert len(ranking_figure(lists, ranges).axes[0].patches) == (3 + 1) * 4
