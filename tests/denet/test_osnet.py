"""OSNet: names and shapes of torchreid's weights, the published size, a block, and a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from denet.backbone import build_backbone
from denet.config import ConfigError, ModelConfig
from denet.initialize import initial_model
from denet.osnet import WIDTHS, Gate, LightConv, OSBlock, OSNet
from export import export_bundle
from runtime import Runtime
from tests.denet.networks import randomized

MILLIONS = {"osnet_x1_0": 2.2, "osnet_x0_75": 1.3, "osnet_x0_5": 0.6, "osnet_x0_25": 0.2}
"""Parameters with the layer `fc`, and without the classifier, as torchreid's model zoo tells."""

MEGAMULTIPLICATIONS = {
    "osnet_x1_0": 978.9, "osnet_x0_75": 571.8, "osnet_x0_5": 272.9, "osnet_x0_25": 82.3
}  # fmt: skip
"""Multiplications and additions for 256x128, likewise."""

NORM = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def expected(stem: int, widths: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchreid's `OSNet`, written down from its attributes."""
    found: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for each in NORM:
            found[f"{name}.{each}"] = () if each == "num_batches_tracked" else (channels,)

    def conv(name: str, c: int, out: int, kernel: int = 1) -> None:
        found[f"{name}.conv.weight"] = (out, c, kernel, kernel)
        norm(f"{name}.bn", out)

    def light(name: str, c: int) -> None:
        found[f"{name}.conv1.weight"] = (c, c, 1, 1)
        found[f"{name}.conv2.weight"] = (c, 1, 3, 3)
        norm(f"{name}.bn", c)

    def block(name: str, c: int, out: int) -> None:
        middle = out // 4
        conv(f"{name}.conv1", c, middle)
        light(f"{name}.conv2a", middle)
        for letter, count in (("b", 2), ("c", 3), ("d", 4)):
            for i in range(count):
                light(f"{name}.conv2{letter}.{i}", middle)
        narrow = middle // 16
        found[f"{name}.gate.fc1.weight"] = (narrow, middle, 1, 1)
        found[f"{name}.gate.fc1.bias"] = (narrow,)
        found[f"{name}.gate.fc2.weight"] = (middle, narrow, 1, 1)
        found[f"{name}.gate.fc2.bias"] = (middle,)
        conv(f"{name}.conv3", middle, out)
        if c != out:
            conv(f"{name}.downsample", c, out)

    conv("conv1", 3, stem, 7)
    before = stem
    for stage, width in zip(("conv2", "conv3", "conv4"), widths, strict=True):
        block(f"{stage}.0", before, width)
        block(f"{stage}.1", width, width)
        if stage != "conv4":
            conv(f"{stage}.2.0", width, width)
        before = width
    conv("conv5", before, before)
    return found


@pytest.mark.parametrize("name", WIDTHS)
def test_names_and_shapes_are_those_of_torchreid(name: str) -> None:
    stem, *widths = WIDTHS[name]
    state = OSNet(name).state_dict()
    assert {n: tuple(w.shape) for n, w in state.items()} == expected(stem, tuple(widths))


@pytest.mark.parametrize("name", WIDTHS)
def test_the_size_is_the_published_one(name: str) -> None:
    network = OSNet(name)
    fc = network.channels * 512 + 512 + 2 * 512
    count = sum(p.numel() for p in network.parameters()) + fc
    assert count / 1e6 == pytest.approx(MILLIONS[name], abs=0.051)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 256, 128))
    # torchreid counts an operation of each norm, ReLU and pooling as well.
    assert counter.get_total_flops() / 2e6 == pytest.approx(MEGAMULTIPLICATIONS[name], rel=0.07)


@torch.no_grad()
def test_a_block_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    block = randomized(OSBlock(32, 64))
    assert isinstance(block, OSBlock)
    x = torch.randn(2, 32, 6, 3, dtype=torch.float64)

    def norm(y: torch.Tensor, bn: nn.BatchNorm2d) -> torch.Tensor:
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return (y - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]

    def dense(y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bchw,oc->bohw", y, weight[:, :, 0, 0])

    def light(y: torch.Tensor, layer: LightConv) -> torch.Tensor:
        y = functional.pad(dense(y, layer.conv1.weight), (1, 1, 1, 1))
        kernel = layer.conv2.weight[:, 0]
        out = sum(
            y[:, :, i : i + 6, j : j + 3] * kernel[:, i, j][:, None, None]
            for i in range(3)
            for j in range(3)
        )
        return norm(out, layer.bn).clamp(min=0)

    def gated(y: torch.Tensor, gate: Gate) -> torch.Tensor:
        hidden = (y.mean((2, 3)) @ gate.fc1.weight[:, :, 0, 0].T + gate.fc1.bias).clamp(min=0)
        logits = hidden @ gate.fc2.weight[:, :, 0, 0].T + gate.fc2.bias
        return y / (1 + (-logits).exp())[:, :, None, None]

    narrow = norm(dense(x, block.conv1.conv.weight), block.conv1.bn).clamp(min=0)
    fused = gated(light(narrow, block.conv2a), block.gate)
    for stream in (block.conv2b, block.conv2c, block.conv2d):
        y = narrow
        for layer in stream:
            y = light(y, layer)
        fused = fused + gated(y, block.gate)
    y = norm(dense(fused, block.conv3.conv.weight), block.conv3.bn)
    assert block.downsample is not None
    y = y + norm(dense(x, block.downsample.conv.weight), block.downsample.bn)
    torch.testing.assert_close(block(x), y.clamp(min=0))


@pytest.mark.slow
@torch.no_grad()
def test_a_network_on_osnet_is_exported_and_composed(tmp_path: Path) -> None:
    config = ModelConfig(
        backbone="osnet_x0_25",
        image_size=(64, 32),
        cmft_width=8,
        dem_channels=4,
        modalities=("rgb", "tir"),  # six engines, not fifteen: a branch takes seconds to trace
    )
    model = initial_model(config, seed=0, pretrained=False)
    assert (model.channels, model.feature_size) == (128, (4, 2))
    made = export_bundle(model, tmp_path / "m.denet", checkpoint_sha256="1" * 64)
    images = {m: torch.randn(2, 3, 64, 32) for m in model.graph.modalities}
    with Runtime.load(made, "ort-cpu") as runtime:
        for state in model.graph.states:
            mine = {m: images[m] for m in state.available}
            samples = [{m: image[i].numpy() for m, image in mine.items()} for i in range(2)]
            found = runtime.head(runtime.composer.run_tensors(samples))
            np.testing.assert_allclose(found, model(mine, state).embedding.numpy(), atol=1e-4)


def test_what_osnet_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"osnet_x1_0 has a stride of 16.*last_stride = 1"):
        build_backbone("osnet_x1_0", 2, (64, 32), pretrained=False)
    with pytest.raises(ConfigError, match=r"osnet_x0_5.*random"):
        build_backbone("osnet_x0_5", 1, (64, 32), pretrained=True)
