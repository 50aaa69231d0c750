"""Checkpoints: one safetensors file, with the model's configuration in its header.

Nothing is ever unpickled: a checkpoint from a stranger cannot run code.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from denet.config import ConfigError, ModelConfig
from denet.errors import DenetError
from denet.files import written_whole
from denet.marks import OutputKind, tensors
from denet.model import DENet
from denet.outputs import check_kept, check_output, writing

FORMAT = "denet-checkpoint"
SCHEMA = 1

CHECKPOINT = OutputKind("", "a checkpoint is", "a whole checkpoint of denet", tensors(FORMAT))


class Header(msgspec.Struct, frozen=True):
    """What the file's metadata holds as JSON, under the one key `FORMAT`.

    One key, because safetensors writes several in an order that changes from save to save.
    """

    schema: int
    config: msgspec.Raw


class CheckpointError(DenetError):
    """A checkpoint that cannot be read or written; the message names the file."""


def check_checkpoint(path: Path, *, replace: bool) -> None:
    """See that a checkpoint can be written to `path`, before the work for it is done.

    Raises:
        CheckpointError: it cannot, or something is there that is none, or `replace` is false.
    """
    check_output(path, CHECKPOINT, CheckpointError, replace=replace)


def save_checkpoint(model: DENet, path: Path, *, replace: bool = False) -> None:
    """Write `model` to `path`, under a temporary name first; equal models give equal bytes.

    Args:
        model: what to store.
        path: where, by custom `NAME.safetensors`.
        replace: replace a checkpoint that is there.

    Raises:
        CheckpointError: a file is there already, or it cannot be written.
    """
    config = msgspec.json.encode(model.config, order="deterministic")
    header = msgspec.json.encode(Header(SCHEMA, msgspec.Raw(config)))
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with writing(path, CheckpointError):
        check_kept(path, CHECKPOINT, CheckpointError, replace=replace)
        with written_whole(path) as temporary:
            try:
                save_file(weights, temporary, {FORMAT: header.decode()})
            except SafetensorError as error:
                raise CheckpointError(f"{path}: cannot be written: {error}") from None


def load_checkpoint(path: Path) -> DENet:
    """The model stored at `path`, on the CPU and in evaluation mode.

    Raises:
        CheckpointError: there is no such file, it is no DENet checkpoint, or it is damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint (make one with `denet init`)")
    try:
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            if FORMAT not in metadata:
                raise CheckpointError(f"{path}: a safetensors file, but not a DENet checkpoint")
            header = msgspec.json.decode(metadata[FORMAT], type=Header)
            if header.schema != SCHEMA:
                raise CheckpointError(
                    f"{path}: checkpoint schema {header.schema}, but this version of denet reads "
                    f"schema {SCHEMA}"
                )
            model = DENet(msgspec.json.decode(header.config, type=ModelConfig))
            names = stored.keys()
            model.load_state_dict({name: stored.get_tensor(name) for name in names})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot read the checkpoint: {error}") from None
    except (msgspec.DecodeError, ConfigError) as error:
        raise CheckpointError(f"{path}: the configuration inside is wrong: {error}") from None
    except RuntimeError as error:  # load_state_dict: missing, unexpected or misshapen tensors
        raise CheckpointError(
            f"{path}: the weights do not fit the configuration: {error}"
        ) from None
    return model.eval()
