"""Backbones of torchvision and of timm: their shapes, and weights that cannot be had."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import WeightsEnum

from denet.backbone import build_backbone, resnet_names
from denet.branch import Branch
from denet.cmft import to_image
from denet.config import ConfigError, ModelConfig
from denet.graph import RGB_NIR_TIR
from denet.initialize import initial_model
from denet.model import DENet
from export import export_bundle
from runtime import Runtime

MODALITIES = RGB_NIR_TIR.modalities


@pytest.mark.parametrize("name", resnet_names())
def test_last_stride_1_doubles_the_resolution_of_every_backbone(name: str) -> None:
    shapes = {}
    for last_stride in (1, 2):
        # Shapes only: tensors on "meta" have no data.
        with torch.device("meta"):
            model = DENet(ModelConfig(backbone=name, last_stride=last_stride)).eval()
            images = {m: torch.empty(2, 3, 256, 128) for m in MODALITIES}
            output = model(images, RGB_NIR_TIR.state(MODALITIES))
        shapes[last_stride] = model.feature_size
        assert model.feature_size == (16 // last_stride, 8 // last_stride)
        assert output.parts.shape == (6, 2, model.channels)
        for branch in output.branches.values():
            assert branch.feature.shape == (2, model.channels, *model.feature_size)
        for recovered in output.recovered.values():
            assert to_image(recovered.grid).shape == (2, 3, 256, 128)
            assert recovered.pooled.shape == (2, model.channels)
    assert shapes[1] == (2 * shapes[2][0], 2 * shapes[2][1])


TIMM = ["timm:regnetx_002", "timm:mobilenetv3_small_100"]


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_a_backbone_of_timm_gives_the_promised_shapes(name: str, last_stride: int) -> None:
    backbone = build_backbone(name, last_stride, (64, 32), pretrained=False)
    channels = {"timm:regnetx_002": 368, "timm:mobilenetv3_small_100": 576}[name]
    assert (backbone.channels, backbone.stride) == (channels, 16 * last_stride)
    assert all(module.training for module in backbone.modules())
    branch = Branch(backbone, 16)
    with torch.no_grad():
        feature, pooled = branch(torch.randn(2, 3, 64, 32))
    assert feature.shape == (2, channels, 4 // last_stride, 2 // last_stride)
    assert pooled.shape == (2, channels)
    assert feature.std(dim=0).max() > 0


@torch.no_grad()
def test_a_network_on_a_backbone_of_timm_is_exported_and_composed(tmp_path: Path) -> None:
    config = ModelConfig(
        backbone="timm:test_efficientnet", image_size=(64, 32), cmft_width=8, dem_channels=4
    )
    model = initial_model(config, seed=0, pretrained=False)
    made = export_bundle(model, tmp_path / "m.denet", checkpoint_sha256="1" * 64)
    images = {m: torch.randn(2, 3, 64, 32) for m in MODALITIES}
    with Runtime.load(made, "ort-cpu") as runtime:
        for state in (RGB_NIR_TIR.parse("rgb+nir+tir"), RGB_NIR_TIR.parse("tir")):
            mine = {m: images[m] for m in state.available}
            samples = [{m: image[i].numpy() for m, image in mine.items()} for i in range(2)]
            found = runtime.head(runtime.composer.run_tensors(samples))
            np.testing.assert_allclose(found, model(mine, state).embedding.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "last_stride", "pretrained", "told"),
    [
        ("timm:regnetx_999", 1, False, ["regnetx_999", "timm:regnetx_"]),
        ("timm:swin_tiny_patch4_window7_224", 2, False, ["swin_tiny", "no map of channels"]),
        ("timm:fastvit_t8", 1, False, ["fastvit_t8", "stride of 16", "last_stride = 2"]),
        ("resnet10", 1, True, ["resnet10", "no ImageNet weights"]),
    ],
)
def test_a_backbone_that_cannot_be_had_says_why(
    name: str, last_stride: int, pretrained: bool, told: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        build_backbone(name, last_stride, (64, 64), pretrained=pretrained)
    assert all(words in str(error.value) for words in told), error.value


def test_weights_of_timm_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **arguments: object) -> nn.Module:
        if pretrained:
            raise OSError("no route to host")
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigError, match=r"weights of timm:regnetx_002.*OSError.*random"):
        build_backbone(TIMM[0], 1, (64, 32), pretrained=True)
    build_backbone(TIMM[0], 1, (64, 32), pretrained=False)


@pytest.mark.parametrize(
    "cause",
    [
        URLError("no route to host"),
        ConnectionResetError("no route to host"),
        RuntimeError("invalid hash value: no route to host"),
    ],
    ids=["no network", "broken off", "damaged"],
)
def test_weights_that_cannot_be_had_are_an_error_that_names_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise cause

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as error:
        DENet(ModelConfig(backbone="resnet18"), pretrained=True)
    message = str(error.value)
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "https://download.pytorch.org/models/resnet18" in message
    assert "no route to host" in message


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut"])
def test_weights_damaged_in_the_cache_are_an_error_that_names_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet18-f37072fd.pth").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        DENet(ModelConfig(backbone="resnet18"), pretrained=True)
    assert str(folder) in str(error.value)
