"""Configurations of a network: read, left out, and wrong ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from denet.config import ConfigError, ModelConfig
from denet.graph import RGB_NIR_TIR
from denet.model import DENet
from denet.recipe import PRESETS, read_recipe


def test_a_configuration_is_read_from_its_table(tmp_path: Path, tiny_config: ModelConfig) -> None:
    path = tmp_path / "model.toml"
    path.write_text(
        """
        [model]
        backbone = "resnet18"
        image_size = [64, 32]
        last_stride = 2
        cbam_reduction = 8
        cmft_width = 4
        dem_channels = 2
        edge_norm = true
        placed = true
        neck = "after"
        [model.normalization.tir]
        mean = [0.5, 0.4, 0.3]
        std = [0.1, 0.2, 0.3]
        range16 = [7000, 9000]
        """
    )
    assert read_recipe("paper", path).model == tiny_config


def test_what_a_configuration_leaves_out_is_the_preset_s(tmp_path: Path) -> None:
    for source in ("", "[model]"):
        (tmp_path / "model.toml").write_text(source)
        assert read_recipe("paper", tmp_path / "model.toml").model == PRESETS["paper"].model
    silent = ModelConfig().normalization_of("nir")
    assert (silent.mean, silent.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert silent.range16 == (0, 65535)


def test_the_usual_modalities_are_not_stored() -> None:
    """So files are what they were before there was a choice."""
    usual = ModelConfig(modalities=("rgb", "nir", "tir"))
    assert usual == ModelConfig()
    assert usual.graph is RGB_NIR_TIR
    assert "modalities" not in msgspec.to_builtins(usual)


@pytest.mark.parametrize("names", [("rgb", "tir"), ("tir", "rgb"), ("nir",), ("tir", "nir", "rgb")])
def test_modalities_come_back_in_their_order(names: tuple[str, ...]) -> None:
    config = ModelConfig(modalities=names)
    assert config.graph.modalities == names
    assert msgspec.json.decode(msgspec.json.encode(config), type=ModelConfig) == config
    assert config != ModelConfig()
    assert read_recipe("small", None, modalities=",".join(names)).model.graph == config.graph


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("[model", "not TOML"),
        ("[modle]", "modle"),
        ("[model]\n[[train]]", "train"),
        ("model = 3", "model"),
        ("[model]\nbackbnoe = 'resnet18'", "backbnoe"),
        ("[model]\nbackbone = 18", "backbone"),
        ("[model]\nimage_size = 256", "image_size"),
        ("[model]\nimage_size = [256]", "image_size"),
        ("[model]\nimage_size = [0, 128]", "image_size"),
        ("[model]\nlast_stride = 3", "last_stride"),
        ("[model]\ncmft_width = -4", "cmft_width"),
        ("[model]\ndem_channels = 0", "dem_channels"),
        ("[model]\nneck = 'behind'", "neck"),
        ("[model]\nmodalities = []", "modalities: none is named"),
        ("[model]\nmodalities = ['rgb', 'tir', 'rgb']", "'rgb' is named twice"),
        ("[model]\nmodalities = ['rgb', 'uv']", "unknown modality 'uv': choose from rgb, nir, tir"),
        ("[model]\nmodalities = ['rgb']\n[model.normalization.tir]", "unknown modality 'tir'"),
        ("[model.normalization.uv]\nmean = [0, 0, 0]", "uv"),
        ("[model.normalization.rgb]\nmaen = [0, 0, 0]", "maen"),
        ("[model.normalization.rgb]\nmean = [0, 0]", "mean"),
        ("[model.normalization.rgb]\nstd = [1, 0, 1]", "std"),
        ("[model.normalization.rgb]\nstd = [1, 1, -1]", "std"),
        ("[model.normalization.rgb]\nstd = [nan, 1, 1]", "std"),
        ("[model.normalization.rgb]\nmean = [nan, 0, 0]", "mean"),
        ("[model.normalization.rgb]\nrange16 = [10, 10]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [20, 10]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [0.5, inf]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [nan, 10]", "range16"),
    ],
)
def test_a_wrong_configuration_names_the_key_and_the_file(
    tmp_path: Path, source: str, told: str
) -> None:
    path = tmp_path / "odd-name.toml"
    path.write_text(source)
    with pytest.raises(ConfigError, match=rf"odd-name\.toml.*{told}"):
        read_recipe("paper", path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_configuration_that_cannot_be_read_is_an_error(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "odd-name.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"odd-name\.toml: (cannot be read|not text)"):
        read_recipe("paper", path)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ModelConfig(backbone="vgg16"), ["vgg16", "resnet50", "resnet18"]),
        (ModelConfig(backbone="resnet"), ["'resnet'"]),
        (ModelConfig(backbone="resnet18", image_size=(250, 128)), ["image_size", "250", "16"]),
        (ModelConfig(backbone="resnet18", image_size=(256, 8)), ["image_size", "256x8", "16"]),
        (
            ModelConfig(backbone="resnet18", image_size=(48, 32), last_stride=2),
            ["image_size", "48x32", "32"],
        ),
        (ModelConfig(backbone="resnet18", cmft_width=30), ["cmft_width", "30"]),
    ],
)
def test_a_network_that_cannot_be_built_names_key_and_value(
    config: ModelConfig, told: list[str]
) -> None:
    with torch.device("meta"), pytest.raises(ConfigError) as error:
        DENet(config)
    assert all(words in str(error.value) for words in told)
