"""PFNet: its fusion by loops, and what is made of missing modalities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from denet.graph import RGB_NIR_TIR
from denet.rivals.pfnet import STRIPES, WIDTH, PFNet, Transformation
from tests.denet.rivals.settings import SETTING, batch, double

MODALITIES = RGB_NIR_TIR.modalities


@torch.no_grad()
def test_three_branches_and_their_sum_are_cut_into_stripes() -> None:
    torch.manual_seed(0)
    network = PFNet(SETTING).double().eval()
    maps = {m: double(2, 512, 6, 2, seed=i) for i, m in enumerate(MODALITIES)}
    vectors = network.fuse(maps)
    assert list(vectors) == [*MODALITIES, "sum"]
    every = [*maps.values(), maps["rgb"] + maps["nir"] + maps["tir"]]
    for (name, vector), feature in zip(vectors.items(), every, strict=True):
        assert vector.shape == (2, STRIPES * WIDTH)
        for i in range(STRIPES):
            pooled = feature[:, :, 2 * i : 2 * i + 2].mean((2, 3))
            reduced = network.stripes[name][i](pooled)
            torch.testing.assert_close(vector[:, i * WIDTH : (i + 1) * WIDTH], reduced)


@torch.no_grad()
def test_a_missing_modality_is_made_of_the_anchors_map() -> None:
    torch.manual_seed(0)
    network = PFNet(SETTING).eval()
    images, _ = batch()
    maps = {m: network.streams[m](images[m]) for m in MODALITIES}
    made = {
        "rgb": maps["rgb"],
        "nir": network.transformations["rgb>nir"](maps["rgb"]),
        "tir": maps["tir"],
    }
    expected = torch.cat(list(network.fuse(made).values()), dim=1)
    found = network.features(images, RGB_NIR_TIR.parse("rgb+tir"))
    torch.testing.assert_close(found, expected)
    made["rgb"] = network.transformations["nir>rgb"](maps["nir"])
    made["nir"], made["tir"] = maps["nir"], network.transformations["nir>tir"](maps["nir"])
    expected = torch.cat(list(network.fuse(made).values()), dim=1)
    torch.testing.assert_close(network.features(images, RGB_NIR_TIR.parse("nir")), expected)


@pytest.mark.parametrize("size", [(6, 3), (2, 1)])
def test_a_transformation_keeps_the_shape(size: tuple[int, int]) -> None:
    assert Transformation(8)(torch.randn(2, 8, *size)).shape == (2, 8, *size)


def test_the_loss_and_its_real_maps_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = PFNet(SETTING).eval()
    images, labels = batch()
    given: list[bool] = []
    squared = functional.mse_loss

    def recorded(made: Tensor, real: Tensor) -> Tensor:
        given.append(made.requires_grad and not real.requires_grad)
        return squared(made, real)

    monkeypatch.setattr(functional, "mse_loss", recorded)
    found = network.loss(images, labels).item()
    assert given == [True] * 6

    maps = {m: network.streams[m](images[m]) for m in MODALITIES}
    vectors = network.fuse(maps)
    whole = torch.cat(list(vectors.values()), dim=1)

    def identity(logits: Tensor) -> float:
        return functional.cross_entropy(logits, labels, label_smoothing=network.smoothing).item()

    recovered = [
        (network.transformations[f"{s}>{t}"](maps[s]) - maps[t]).square().mean().item()
        for s in MODALITIES
        for t in MODALITIES
        if s != t
    ]
    expected = (
        np.mean([identity(network.heads[name](v)) for name, v in vectors.items()])
        + identity(network.head(whole))
        + network.triplet(whole, labels).item()
        + np.mean(recovered)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
