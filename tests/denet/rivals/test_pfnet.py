"""PFNet: its fusion by loops, and what is made of missing modalities."""

from __future__ import annotations

import torch
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


def test_a_transformation_learns_a_map_and_leaves_the_real_one_alone() -> None:
    torch.manual_seed(0)
    transformation = Transformation(8)
    for height, width in ((6, 3), (2, 1)):
        assert transformation(torch.randn(2, 8, height, width)).shape == (2, 8, height, width)
    network = PFNet(SETTING).train()
    images, labels = batch()
    maps = {m: network.streams[m](images[m]) for m in MODALITIES}
    loss = functional.mse_loss(
        network.transformations["rgb>nir"](maps["rgb"]), maps["nir"].detach()
    )
    loss.backward()
    assert all(p.grad is None for p in network.streams["nir"].parameters())
    assert all(p.grad is not None for p in network.streams["rgb"].parameters())
    assert torch.isfinite(network.loss(images, labels))
