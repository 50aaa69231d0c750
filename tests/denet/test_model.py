"""The network's modules against the paper's formulas in float64, and what surrounds them:
initial weights, checkpoints and configurations.

The formulas are DESIGN, section 2, in their naive form: full maps, full-resolution images, 1x1
convolutions. None of the collapses of section 3 is used here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import get_args
from urllib.error import URLError

import msgspec
import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import WeightsEnum

from denet.backbone import build_backbone, resnet_names
from denet.branch import CBAM, Branch
from denet.checkpoint import FORMAT, SCHEMA, CheckpointError, load_checkpoint, save_checkpoint
from denet.cmft import CMFT, stages_between, to_grid, to_image
from denet.config import ConfigError, ModelConfig, Normalization
from denet.dem import DEMEdge
from denet.graph import RGB_NIR_TIR, Composition, Modality, State
from denet.initialize import initial_model
from denet.model import DENet
from denet.recipe import read_recipe
from export import export_bundle
from runtime import Runtime
from tests.conftest import SMALL

MODALITIES = RGB_NIR_TIR.modalities
STATES = RGB_NIR_TIR.states

EXACT = 1e-12

seeds = st.integers(0, 2**32 - 1)
every_state = pytest.mark.parametrize("state", STATES, ids=str)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal up to float64 rounding, relative to the largest number."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == torch.float64
    assert (actual - expected).abs().max() <= EXACT * expected.abs().max()


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def randomized(module: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with batch statistics and affines that do something."""
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.normal_(norm.bias)
    return module.double().eval()


def batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Eval-mode batch normalization along axis 1."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = norm.running_mean.reshape(shape), norm.running_var.reshape(shape)
    standardized = (x - mean) / torch.sqrt(var + norm.eps)
    if not norm.affine:
        return standardized
    return standardized * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def conv1x1(layer: nn.Linear, feature: Tensor) -> Tensor:
    """A linear layer as a 1x1 convolution of a map (B, C, h, w)."""
    return functional.conv2d(feature, layer.weight[:, :, None, None], layer.bias)


def gap(feature: Tensor) -> Tensor:
    return feature.mean(dim=(2, 3))


def naive_edge(edge: DEMEdge, source: Tensor, target: Tensor) -> Tensor:
    """Eq. 5, E_{s->t} as a map: from F_s and F_t, both (B, C, h, w)."""
    key, value = (conv1x1(layer, source).flatten(2) for layer in (edge.key, edge.value))
    query = conv1x1(edge.query, target).flatten(2)
    positions = source.shape[2] * source.shape[3]
    mixed = value @ (key.transpose(1, 2) @ query) / positions
    # The norm of evaluation is an affine map of each channel, so the map has it like its mean.
    return batch_norm(edge.norm, conv1x1(edge.out, mixed.unflatten(2, target.shape[2:])))


def naive_image(grid: Tensor) -> Tensor:
    """PixelShuffle(4): channel 16c + 4i + j holds pixel (i, j) of each 4x4 patch of colour c."""
    batch, _, height, width = grid.shape
    image = grid.new_empty(batch, 3, 4 * height, 4 * width)
    for c, i, j in product(range(3), range(4), range(4)):
        image[:, c, i::4, j::4] = grid[:, 16 * c + 4 * i + j]
    return image


def naive_cmft(cmft: CMFT, feature: Tensor) -> tuple[Tensor, Tensor]:
    """The recovered feature F'_b as a map, and the recovered image X'_b."""
    image = naive_image(cmft.up(feature))
    down = cmft.down
    hidden = functional.conv2d(image, down.first.weight, stride=4)
    hidden = functional.relu(batch_norm(down.first_norm, hidden))
    standardized = batch_norm(down.norm, conv1x1(down.expand, down.stages(hidden)))
    as_real = [t[:, None, None] for t in (down.gain, down.real.running_var, down.real.running_mean)]
    gain, variance, mean = as_real
    return standardized * gain * torch.sqrt(variance + down.real.eps) + mean, image


def naive_parts(
    model: DENet, images: Mapping[Modality, Tensor], state: State, kind: Composition = "dynamic"
) -> Tensor:
    """concat(c(S), c({anchor(S)})) on full feature maps, (6, B, C); c(S) alone for "concat".

    DESIGN, section 2, and for the other kinds what `denet.graph.Composition` says of them.
    """
    order: tuple[Modality, ...] = ("rgb", "nir", "tir")
    anchor = next(m for m in order if m in state.available)
    real = {m: model.engines[f"branch_{m}"](images[m]).feature for m in state.available}
    if kind == "concat":
        zero = torch.zeros_like(gap(real[anchor]))
        return torch.stack([gap(real[t]) if t in real else zero for t in order])
    recovered = {
        t: naive_cmft(model.engines[f"cmft_{anchor}2{t}"], real[anchor])[0]
        for t in order
        if t != anchor
    }

    def c(available: tuple[Modality, ...]) -> list[Tensor]:
        features = {t: real[t] if t in available else recovered[t] for t in order}
        cut = {
            "dynamic": lambda s, t: s not in available,
            "fixed": lambda s, t: False,
            "single": lambda s, t: s not in available or order.index(s) > order.index(t),
            "none": lambda s, t: True,
        }[kind]
        parts = []
        for t in order:
            enhanced = features[t]
            for s in order:
                if s != t and not cut(s, t):
                    edge = model.engines[f"dem_{s}2{t}"]
                    enhanced = enhanced + naive_edge(edge, features[s], features[t])
            parts.append(gap(enhanced))
        return parts

    return torch.stack(c(state.available) + c((anchor,)))


# DEM


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 24),
    width=st.integers(1, 12),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 4),
    targets=st.sampled_from([1, 2]),
)
def test_an_edge_is_the_paper_s_on_full_maps(
    seed: int, channels: int, width: int, size: tuple[int, int], batch: int, targets: int
) -> None:
    torch.manual_seed(seed)
    edge = randomized(DEMEdge(channels, width))
    source = random_tensor(batch, channels, *size)
    maps = [random_tensor(batch, channels, *size) for _ in range(targets)]
    before = random_tensor(targets, batch, channels)
    with torch.no_grad():
        enhanced = edge(source, torch.stack([gap(m) for m in maps]), before).enhanced
        folded = edge.folded()(source, torch.stack([gap(m) for m in maps]), before).enhanced
        added = torch.stack([gap(naive_edge(edge, source, m)) for m in maps])
    assert_same(enhanced, before + added)
    assert_same(folded, enhanced)


def test_an_edge_leaves_its_inputs_as_they_were() -> None:
    edge = DEMEdge(6, 3).double().eval()
    inputs = random_tensor(2, 6, 3, 2), random_tensor(2, 2, 6), random_tensor(2, 2, 6)
    kept = [t.clone() for t in inputs]
    edge(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))


# CMFT


@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 16),
    width=st.sampled_from([4, 8, 12]),
    last_stride=st.sampled_from([1, 2]),
    positions=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(1, 3),
)
def test_a_cmft_is_the_one_that_goes_through_the_image(
    seed: int,
    channels: int,
    width: int,
    last_stride: int,
    positions: tuple[int, int],
    batch: int,
) -> None:
    torch.manual_seed(seed)
    stride = 16 * last_stride
    image_size = positions[0] * stride, positions[1] * stride
    cmft = randomized(CMFT(channels, width, stages_between(image_size, stride)))
    feature = random_tensor(batch, channels, *positions)
    with torch.no_grad():
        output = cmft(feature)
        recovered, image = naive_cmft(cmft, feature)
    assert recovered.shape == feature.shape
    assert image.shape == (batch, 3, *image_size)
    assert_same(to_image(output.grid), image)
    assert_same(output.pooled, gap(recovered))


@settings(max_examples=15, deadline=None)
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)), seed=seeds)
def test_grid_and_image_are_one_thing(size: tuple[int, int, int], seed: int) -> None:
    torch.manual_seed(seed)
    batch, height, width = size
    grid = random_tensor(batch, 48, height, width)
    assert torch.equal(to_image(grid), naive_image(grid))
    assert torch.equal(to_grid(to_image(grid)), grid)
    image = random_tensor(batch, 3, 4 * height, 4 * width)
    assert torch.equal(to_image(to_grid(image)), image)


# Branch


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def loop_cbam(cbam: CBAM, feature: NDArray[np.float64]) -> NDArray[np.float64]:
    """CBAM (Woo et al., Eq. 1-3) for one feature (C, h, w), position by position."""
    weights = {k: v.numpy() for k, v in cbam.state_dict().items()}

    def mlp(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        hidden = weights["channel_mlp.0.weight"] @ vector + weights["channel_mlp.0.bias"]
        return (
            weights["channel_mlp.2.weight"] @ np.maximum(hidden, 0) + weights["channel_mlp.2.bias"]
        )

    channels, height, width = feature.shape
    flat = feature.reshape(channels, -1)
    channel_gate = sigmoid(mlp(flat.mean(axis=1)) + mlp(flat.max(axis=1)))
    feature = feature * channel_gate[:, None, None]
    described = np.stack([feature.mean(axis=0), feature.max(axis=0)])
    result = np.empty_like(feature)
    for y, x in product(range(height), range(width)):
        total = 0.0
        for k, i, j in product(range(2), range(7), range(7)):
            row, column = y + i - 3, x + j - 3
            if 0 <= row < height and 0 <= column < width:
                total += weights["spatial.0.weight"][0, k, i, j] * described[k, row, column]
        centred = (total - weights["spatial.1.running_mean"][0]) / math.sqrt(
            weights["spatial.1.running_var"][0] + 1e-5
        )
        gate = sigmoid(centred * weights["spatial.1.weight"] + weights["spatial.1.bias"])
        result[:, y, x] = feature[:, y, x] * gate
    return result


@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    channels=st.integers(1, 12),
    reduction=st.integers(1, 16),
    size=st.tuples(st.integers(1, 9), st.integers(1, 5)),
)
def test_cbam_is_channel_then_spatial_attention(
    seed: int, channels: int, reduction: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(seed)
    cbam = randomized(CBAM(channels, reduction))
    feature = random_tensor(2, channels, *size)
    with torch.no_grad():
        actual = cbam(feature)
    expected = np.stack([loop_cbam(cbam, one) for one in feature.numpy()])
    assert_same(actual, torch.from_numpy(expected))


def test_a_branch_pools_its_feature_and_attends_to_its_backbone() -> None:
    branch = randomized(Branch(build_backbone("resnet18", 1, (64, 32), pretrained=False), 16))
    image = random_tensor(2, 3, 64, 32)
    with torch.no_grad():
        feature, pooled = branch(image)
        assert_same(feature, branch.attention(branch.backbone(image)))
    assert feature.shape == (2, 512, 4, 2)
    assert_same(pooled, feature.flatten(2).sum(dim=2) / 8)


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


# The whole network


@pytest.fixture(scope="module")
def precise(model: DENet) -> DENet:
    return copy.deepcopy(model).double()


@pytest.fixture(scope="module")
def images(precise: DENet) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(7)
    size = precise.config.image_size
    return {
        m: torch.randn(3, 3, *size, generator=generator, dtype=torch.float64) for m in MODALITIES
    }


def variant(model: DENet, **changes: object) -> DENet:
    """The same modules, to be replaced one by one, under a changed configuration."""
    changed = copy.copy(model)
    changed._modules = dict(model._modules)
    changed.config = msgspec.structs.replace(model.config, **changes)
    return changed


def available(images: Mapping[Modality, Tensor], state: State) -> dict[Modality, Tensor]:
    return {m: images[m] for m in state.available}


@every_state
@torch.no_grad()
def test_parts_are_the_paper_s_on_full_maps(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    output = precise(mine, state)
    expected = naive_parts(precise, mine, state)
    assert_same(output.parts, expected)
    for i, part in enumerate(expected):  # each at its own scale, not at that of the largest
        assert_same(output.parts[i], part)


@every_state
@pytest.mark.parametrize("kind", [k for k in get_args(Composition) if k != "dynamic"])
@torch.no_grad()
def test_the_other_compositions_are_what_they_are_said_to_be(
    images: dict[Modality, Tensor], state: State, kind: Composition
) -> None:
    torch.manual_seed(3)
    model = randomized(DENet(msgspec.structs.replace(SMALL, composition=kind)))
    mine = available(images, state)
    assert_same(model(mine, state).parts, naive_parts(model, mine, state, kind))


@every_state
@torch.no_grad()
def test_missing_modalities_are_never_looked_at(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    junk = {m: torch.full((1, 1), math.nan) for m in RGB_NIR_TIR.missing(state)}
    assert torch.equal(precise(mine | junk, state).parts, precise(mine, state).parts)
    for m in state.available:
        with pytest.raises(KeyError, match=m):
            precise({k: v for k, v in mine.items() if k != m}, state)


@every_state
@torch.no_grad()
def test_each_sample_of_a_batch_is_computed_by_itself(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    mine = available(images, state)
    alone = [precise({m: x[i : i + 1] for m, x in mine.items()}, state) for i in range(3)]
    together = precise(mine, state)
    assert_same(together.parts, torch.cat([one.parts for one in alone], dim=1))
    assert_same(together.embedding, torch.cat([one.embedding for one in alone]))


@every_state
@torch.no_grad()
def test_the_output_holds_what_ran(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    output = precise(available(images, state), state)
    assert set(output.branches) == set(state.available)
    assert set(output.recovered) == {(state.anchor, t) for t in MODALITIES if t != state.anchor}
    for m, branch in output.branches.items():
        assert_same(branch.feature, precise.engines[f"branch_{m}"](images[m]).feature)
    for (a, t), recovered in output.recovered.items():
        feature, image = naive_cmft(precise.engines[f"cmft_{a}2{t}"], output.branches[a].feature)
        assert_same(recovered.pooled, gap(feature))
        assert_same(to_image(recovered.grid), image)
        assert image.shape == images[a].shape


@every_state
@torch.no_grad()
def test_the_embedding_is_the_parts_side_by_side_with_length_one(
    precise: DENet, images: dict[Modality, Tensor], state: State
) -> None:
    output = precise(available(images, state), state)
    joined = torch.cat([output.parts[i] for i in range(6)], dim=1)
    assert_same(output.embedding, joined / joined.square().sum(dim=1, keepdim=True).sqrt())


@torch.no_grad()
def test_the_neck_normalizes_before_the_length_is_taken(
    precise: DENet, images: dict[Modality, Tensor]
) -> None:
    behind = variant(precise, neck="after")
    behind.neck = randomized(copy.deepcopy(precise.neck))
    state = RGB_NIR_TIR.parse("rgb+tir")
    output = behind(available(images, state), state)
    joined = batch_norm(behind.neck, torch.cat(list(output.parts), dim=1))
    assert_same(output.embedding, joined / joined.square().sum(dim=1, keepdim=True).sqrt())
    unnormalized = precise(available(images, state), state)
    assert torch.equal(output.parts, unnormalized.parts)
    assert not torch.allclose(output.embedding, unnormalized.embedding)


# Initial weights


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_equal_seeds_make_equal_models_whatever_the_global_generator(model: DENet) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = initial_model(model.config, seed=0, pretrained=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal_weights(again, model)
    assert not again.training
    assert not any(module.training for module in again.modules())


def test_another_seed_makes_another_model(model: DENet) -> None:
    other = initial_model(model.config, seed=1, pretrained=False).state_dict()
    first = model.state_dict()
    for engine in model.engines:
        mine = [name for name in first if name.startswith(f"engines.{engine}.")]
        assert mine
        assert any(not torch.equal(first[name], other[name]) for name in mine)


@torch.no_grad()
def test_initial_statistics_keep_activations_in_range(model: DENet) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(4, 3, *model.config.image_size, generator=generator)
    parts = model(dict.fromkeys(MODALITIES, image), RGB_NIR_TIR.state(MODALITIES)).parts
    assert parts.isfinite().all()
    assert 0.01 < parts.std() < 100


# Checkpoints


@pytest.fixture(scope="module")
def tiny_config() -> ModelConfig:
    thermal = Normalization(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3), range16=(7000, 9000))
    return ModelConfig(
        backbone="resnet18",
        image_size=(64, 32),
        last_stride=2,
        cbam_reduction=8,
        cmft_width=4,
        dem_channels=2,
        neck="after",
        normalization={"tir": thermal},
    )


def write_checkpoint(
    path: Path,
    tensors: dict[str, Tensor],
    schema: int = SCHEMA,
    config: str = '{"backbone": "resnet18"}',
) -> Path:
    """A safetensors file with a checkpoint's header, except for what is given."""
    save_file(tensors, path, {FORMAT: f'{{"schema": {schema}, "config": {config}}}'})
    return path


def only_a_neck(model: DENet, **changes: object) -> DENet:
    """A model to save, in kilobytes."""
    small = variant(model, **changes)
    small.engines = nn.ModuleDict()
    return small


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, tiny_config: ModelConfig) -> None:
    model = DENet(tiny_config)
    randomized(model).float()
    save_checkpoint(model, tmp_path / "a.safetensors")
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert equal_weights(loaded, model)
    assert loaded.config == tiny_config
    assert not loaded.training
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_equal_models_are_equal_bytes(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    written = set()
    for _ in range(10):
        save_checkpoint(only_a_neck(model), path, replace=True)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_equal_configurations_are_equal_text(tmp_path: Path, model: DENet) -> None:
    configs, texts = [], []
    for i, order in enumerate([("nir", "tir"), ("tir", "nir")]):
        same = only_a_neck(model, normalization=dict.fromkeys(order, Normalization()))
        save_checkpoint(same, tmp_path / f"{i}.safetensors")
        with safe_open(tmp_path / f"{i}.safetensors", "pt") as stored:
            texts.append(stored.metadata()[FORMAT])
        configs.append(same.config)
    assert configs[0] == configs[1]
    assert texts[0] == texts[1]


def absent(path: Path) -> None:
    pass


def a_folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("these are not weights\n" * 10)


def a_pickle(path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, path)


def without_metadata(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path)


def of_another_tool(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path, {"format": "pt"})


def of_a_later_schema(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(1)}, schema=999)


def cut_in_the_header(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:50])


def cut_in_the_weights(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-4])


def with_a_wrong_key(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(1)}, config='{"backbnoe": "resnet18"}')


def with_a_broken_configuration(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(1)}, config="{")


def with_an_unknown_backbone(path: Path) -> None:
    write_checkpoint(path, {"x": torch.zeros(1)}, config='{"backbone": "vgg16"}')


DAMAGE: dict[Callable[[Path], None], str] = {
    absent: "no such checkpoint",
    a_folder: "no such checkpoint",
    empty: "cannot read",
    text: "cannot read",
    a_pickle: "cannot read",
    without_metadata: "not a DENet checkpoint",
    of_another_tool: "not a DENet checkpoint",
    of_a_later_schema: "999",
    cut_in_the_header: "cannot read",
    cut_in_the_weights: "cannot read",
    with_a_wrong_key: "backbnoe",
    with_a_broken_configuration: "configuration",
    with_an_unknown_backbone: "vgg16",
}


@pytest.mark.parametrize(
    ("damage", "told"), DAMAGE.items(), ids=[damage.__name__ for damage in DAMAGE]
)
def test_what_is_no_checkpoint_is_an_error_that_names_the_file(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    path = tmp_path / "odd-name.safetensors"
    damage(path)
    with pytest.raises(CheckpointError, match=told) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


def without_a_tensor(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def with_a_tensor_too_many(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name + "_again"] = tensors[name].clone()


def with_a_misshapen_tensor(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name][:-1].clone()


@pytest.mark.parametrize(
    "change", [without_a_tensor, with_a_tensor_too_many, with_a_misshapen_tensor]
)
def test_weights_that_do_not_fit_are_an_error_that_names_file_and_tensor(
    tmp_path: Path, model: DENet, change: Callable[[dict[str, Tensor], str], None]
) -> None:
    name = "engines.dem_rgb2nir.query.weight"
    tensors = model.state_dict()
    change(tensors, name)
    config = msgspec.json.encode(model.config).decode()
    path = write_checkpoint(tmp_path / "odd-name.safetensors", tensors, config=config)
    with pytest.raises(CheckpointError, match=name) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("place", ["no-such-folder/a.safetensors", "a-folder"])
def test_a_failed_write_is_an_error_and_leaves_nothing(
    tmp_path: Path, model: DENet, place: str
) -> None:
    (tmp_path / "a-folder").mkdir()
    with pytest.raises(CheckpointError, match="cannot write") as error:
        save_checkpoint(only_a_neck(model), tmp_path / place, replace=True)
    assert str(tmp_path / place) in str(error.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["a-folder"]


def test_a_file_is_replaced_only_on_demand(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"the old one")
    with pytest.raises(CheckpointError, match="exists already") as error:
        save_checkpoint(only_a_neck(model), path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"the old one"
    save_checkpoint(only_a_neck(model), path, replace=True)
    assert path.read_bytes() != b"the old one"


def test_a_write_that_breaks_off_keeps_the_old_file(
    tmp_path: Path, model: DENet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(tensors: dict[str, Tensor], filename: Path, *rest: object) -> None:
        Path(filename).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"the old one")
    monkeypatch.setattr("denet.checkpoint.save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(only_a_neck(model), path, replace=True)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


# Configurations


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
        neck = "after"
        [model.normalization.tir]
        mean = [0.5, 0.4, 0.3]
        std = [0.1, 0.2, 0.3]
        range16 = [7000, 9000]
        """
    )
    assert read_recipe("paper", path).model == tiny_config


def test_what_a_configuration_leaves_out_is_the_default(tmp_path: Path) -> None:
    for source in ("", "[model]"):
        (tmp_path / "model.toml").write_text(source)
        assert read_recipe("paper", tmp_path / "model.toml").model == ModelConfig()
    silent = ModelConfig().normalization_of("nir")
    assert (silent.mean, silent.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert silent.range16 == (0, 65535)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("[model", "not a TOML file"),
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
        ("[model.normalization.uv]\nmean = [0, 0, 0]", "uv"),
        ("[model.normalization.rgb]\nmaen = [0, 0, 0]", "maen"),
        ("[model.normalization.rgb]\nmean = [0, 0]", "mean"),
        ("[model.normalization.rgb]\nstd = [1, 0, 1]", "std"),
        ("[model.normalization.rgb]\nstd = [1, 1, -1]", "std"),
        ("[model.normalization.rgb]\nstd = [nan, 1, 1]", "std"),
        ("[model.normalization.rgb]\nmean = [nan, 0, 0]", "mean"),
        ("[model.normalization.rgb]\nrange16 = [10, 10]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [20, 10]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [-1, 10]", "range16"),
        ("[model.normalization.rgb]\nrange16 = [0, 65536]", "range16"),
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
    with pytest.raises(ConfigError, match=r"odd-name\.toml: cannot read"):
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


# ImageNet weights


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
