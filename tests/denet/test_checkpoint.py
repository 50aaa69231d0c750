"""Checkpoints: what is stored comes back, and what is none is refused."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from denet.checkpoint import (
    FORMAT,
    SCHEMA,
    CheckpointError,
    digest,
    load_checkpoint,
    save_checkpoint,
)
from denet.config import ModelConfig, Normalization
from denet.model import DENet
from tests.denet.networks import equal_weights, randomized, variant
from tests.paths import as_written


def write_checkpoint(
    path: Path,
    tensors: dict[str, Tensor],
    schema: int = SCHEMA,
    config: str = '{"backbone": "resnet18"}',
) -> Path:
    """A safetensors file with a checkpoint's header, except for what is given."""
    whole = digest(config.encode(), tensors)
    header = f'{{"schema": {schema}, "config": {config}, "digest": "{whole}"}}'
    save_file(tensors, path, {FORMAT: header})
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
    with pytest.raises(CheckpointError, match=r"cannot be written|is a folder") as error:
        save_checkpoint(only_a_neck(model), tmp_path / place, replace=True)
    assert str(tmp_path / place) in str(error.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["a-folder"]


def test_a_file_is_replaced_only_on_demand(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(only_a_neck(model), path)
    before = as_written(path)
    with pytest.raises(CheckpointError, match="exists already") as error:
        save_checkpoint(only_a_neck(model), path)
    assert str(path) in str(error.value)
    assert as_written(path) == before
    save_checkpoint(only_a_neck(model), path, replace=True)
    assert as_written(path) != before


def test_a_checkpoint_follows_the_umask(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    before = os.umask(0o027)
    try:
        save_checkpoint(only_a_neck(model), path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_write_that_breaks_off_keeps_the_old_file(
    tmp_path: Path, model: DENet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(tensors: dict[str, Tensor], filename: Path, *rest: object) -> None:
        Path(filename).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.safetensors"
    save_checkpoint(only_a_neck(model), path)
    old = path.read_bytes()
    monkeypatch.setattr("denet.checkpoint.save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(only_a_neck(model), path, replace=True)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small checkpoint."""
    config = ModelConfig(
        backbone="timm:test_resnet", image_size=(32, 16), cmft_width=4, dem_channels=4
    )
    path = tmp_path_factory.mktemp("stored") / "a.safetensors"
    save_checkpoint(DENet(config), path)
    return path.read_bytes()


def test_a_flipped_bit_is_no_other_model(tmp_path: Path, stored: bytes) -> None:
    path = tmp_path / "a.safetensors"
    header = 8 + int.from_bytes(stored[:8], "little")
    start = stored.index(FORMAT.encode())
    text = range(8 * start, 8 * (stored.index(b"}", start + 200) + 1))
    chance = random.Random(0)
    bits = [
        *chance.sample(text, 60),
        *chance.sample(range(8 * header), 40),
        *chance.sample(range(8 * header, 8 * len(stored)), 100),
    ]
    for bit in bits:
        content = bytearray(stored)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as refusal:
            load_checkpoint(path)
        assert str(refusal.value).startswith(f"{path}: ")


def test_a_checkpoint_from_before_the_digest_is_read_if_its_weights_are_numbers(
    tmp_path: Path, model: DENet
) -> None:
    config = msgspec.json.encode(model.config).decode()
    path = tmp_path / "old.safetensors"
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, {FORMAT: f'{{"schema": 1, "config": {config}}}'})
    assert equal_weights(load_checkpoint(path), model)
    next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, path, {FORMAT: f'{{"schema": 1, "config": {config}}}'})
    with pytest.raises(CheckpointError, match="no numbers"):
        load_checkpoint(path)


def test_no_memory_is_taken_for_what_a_configuration_claims(
    tmp_path: Path, tiny_config: ModelConfig
) -> None:
    """A file of some kilobytes asks for 700 MB, or with all digits that are allowed, for 45 GB."""
    path = tmp_path / "wide.safetensors"
    for width in (1024, 8192):
        wide = msgspec.structs.replace(tiny_config, cmft_width=width)
        write_checkpoint(path, {"a": torch.zeros(1)}, config=msgspec.json.encode(wide).decode())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(CheckpointError, match="do not fit the configuration"):
            load_checkpoint(path)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert taken < 100_000  # KB


@pytest.mark.parametrize("change", ['"cmft_width": 9000', '"image_size": [99999, 32]'])
def test_a_network_has_a_size_that_a_machine_can_have(tmp_path: Path, change: str) -> None:
    path = write_checkpoint(
        tmp_path / "a.safetensors", {"a": torch.zeros(1)}, config=f"{{{change}}}"
    )
    with pytest.raises(CheckpointError, match="the configuration inside is wrong"):
        load_checkpoint(path)
