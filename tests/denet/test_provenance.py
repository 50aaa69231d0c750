"""What a checkpoint tells of its training: it comes back as it was, and is not trusted."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from denet.checkpoint import (
    FORMAT,
    CheckpointError,
    digest,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
)
from denet.config import ModelConfig
from denet.data.records import DataSet
from denet.initialize import initial_model
from denet.model import DENet
from denet.provenance import Provenance, provenance_of
from denet.run import BEST, LAST, data_digest
from denet.train import train
from tests.denet.networks import equal_weights
from tests.denet.training import SHORT, with_train

KNOWN = provenance_of(
    "street", "RGBNT201", "0" * 64, {"train": {"pretrained": False}}, identities=3, samples=40
)


@pytest.fixture(scope="module")
def model() -> DENet:
    return initial_model(SHORT.model, seed=0, pretrained=False)


def rewritten(path: Path, provenance: str) -> None:
    """The checkpoint at `path` with another provenance, and the digest that fits."""
    with safe_open(path, "pt") as stored:
        header = json.loads(stored.metadata()[FORMAT])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    config = msgspec.json.encode(msgspec.json.decode(json.dumps(header["config"])))
    whole = digest(config, tensors, provenance.encode())
    text = (
        f'{{"schema": 3, "config": {config.decode()}, "digest": "{whole}", '
        f'"provenance": {provenance}}}'
    )
    save_file(tensors, path, {FORMAT: text})


def test_provenance_comes_back_as_it_was(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(model, path, provenance=KNOWN)
    opened = open_checkpoint(path)
    assert opened.provenance == KNOWN
    assert equal_weights(opened.model, model)
    first = path.read_bytes()
    save_checkpoint(model, path, provenance=KNOWN, replace=True)
    assert path.read_bytes() == first


def test_a_checkpoint_without_provenance_has_none(tmp_path: Path, model: DENet) -> None:
    save_checkpoint(model, tmp_path / "a.safetensors")
    assert open_checkpoint(tmp_path / "a.safetensors").provenance is None


def test_a_changed_provenance_is_damage(tmp_path: Path, model: DENet) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(model, path, provenance=KNOWN)
    content = path.read_bytes()
    assert content.count(b"street") == 1
    path.write_bytes(content.replace(b"street", b"Street"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"data": "a\x1b[31mb"},
        {"digest": "short"},
        {"samples": -1},
        {"samples": 1 << 60},
        {"surprise": 1},
        {"weights": "x" * 5000},
    ],
)
def test_what_no_training_wrote_is_refused(
    tmp_path: Path, model: DENet, change: dict[str, object]
) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(model, path)
    rewritten(path, json.dumps(msgspec.to_builtins(KNOWN)))
    assert open_checkpoint(path).provenance == KNOWN
    rewritten(path, json.dumps(msgspec.to_builtins(KNOWN) | change))
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        load_checkpoint(path)


@given(st.text(st.characters(exclude_categories=())), st.one_of(st.booleans(), st.text()))
def test_any_name_of_a_folder_or_file_can_be_written_and_read(
    folder: str, pretrained: bool | str
) -> None:
    made = provenance_of(
        folder, folder, "0" * 64, {"train": {"pretrained": pretrained}}, identities=2, samples=2
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=Provenance) == made
    assert all("\x1b" not in text for _, text in made.rows())


def test_a_run_tells_what_it_learned_from(small_set: DataSet, tmp_path: Path) -> None:
    recipe = with_train(validation=2)
    best = train(recipe, small_set, tmp_path / "run")
    told = open_checkpoint(best.parent / LAST).provenance
    assert told is not None
    held_out = sorted({r.identity for r in small_set.train})[-2:]
    fitted = [r for r in small_set.train if r.identity not in held_out]
    assert told.data == small_set.root.name
    assert told.samples == len(fitted)
    assert told.identities == len({r.identity for r in fitted})
    assert told.epochs == recipe.train.epochs + recipe.train.graph_epochs
    assert told.digest == data_digest(small_set.train, recipe.model.graph)
    assert msgspec.convert(told.recipe["model"], ModelConfig) == recipe.model
    assert (best.parent / BEST).is_file()


def test_no_path_of_the_machine_is_told(tmp_path: Path) -> None:
    weights = tmp_path / "secret-folder" / "weights.pth"
    made = provenance_of(
        "set", "RGBNT201", "0" * 64, {"train": {"pretrained": str(weights)}},
        identities=2, samples=2,
    )  # fmt: skip
    assert "secret-folder" not in msgspec.json.encode(made).decode()
    assert "weights.pth" in made.weights
