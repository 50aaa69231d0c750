"""Checkpoints: one safetensors file, with the model's configuration in its header, and what is
known of its training.

Nothing is ever unpickled: a checkpoint from a stranger cannot run code. The header has the digest
of all that, so a flipped bit does not become another model.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from denet.config import ConfigError, ModelConfig
from denet.errors import DenetError
from denet.files import written_whole
from denet.marks import OutputKind, tensors
from denet.model import DENet
from denet.outputs import check_kept, check_output, writing
from denet.provenance import Provenance
from denet.reading import reading

FORMAT = "denet-checkpoint"
SCHEMA = 3

EARLIER = (1, 2)
"""Schemas that are still read, since a training cannot be repeated like an export: without a digest
if the weights are numbers, and with one, but without provenance."""

CHECKPOINT = OutputKind("", "a checkpoint is", "a whole checkpoint of denet", tensors(FORMAT))


class Header(msgspec.Struct, frozen=True):
    """What the file's metadata holds as JSON, under the one key `FORMAT`.

    One key, because safetensors writes several in an order that changes from save to save.
    """

    schema: int
    config: msgspec.Raw
    digest: str = ""
    provenance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        model: the network, on the CPU and in evaluation mode.
        provenance: where its weights come from; None where it does not tell.
    """

    model: DENet
    provenance: Provenance | None


class CheckpointError(DenetError):
    """A checkpoint that cannot be read or written; the message names the file."""


def check_checkpoint(path: Path, *, replace: bool) -> None:
    """See that a checkpoint can be written to `path`, before the work for it is done.

    Raises:
        CheckpointError: it cannot, or something is there that is none, or `replace` is false.
    """
    check_output(path, CHECKPOINT, CheckpointError, replace=replace)


def save_checkpoint(
    model: DENet, path: Path, *, provenance: Provenance | None = None, replace: bool = False
) -> None:
    """Write `model` to `path`, under a temporary name first; equal models give equal bytes.

    Args:
        model: what to store.
        path: where, by custom `NAME.safetensors`.
        provenance: where its weights come from.
        replace: replace a checkpoint that is there.

    Raises:
        CheckpointError: a file is there already, or it cannot be written.
    """
    config = msgspec.json.encode(model.config, order="deterministic")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    origin = b"" if provenance is None else msgspec.json.encode(provenance, order="deterministic")
    header = msgspec.json.encode(
        Header(
            SCHEMA,
            msgspec.Raw(config),
            digest(config, weights, origin),
            msgspec.Raw(origin) if origin else msgspec.UNSET,
        )
    )
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
        CheckpointError: as `open_checkpoint`.
    """
    return open_checkpoint(path).model


def open_checkpoint(path: Path) -> Checkpoint:
    """What is stored at `path`.

    Raises:
        CheckpointError: there is no such file, it is no DENet checkpoint, or it is damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint (make one with `denet init`)")
    with (
        reading(path, CheckpointError, "cannot read the checkpoint"),
        safe_open(path, "pt") as stored,
    ):
        metadata = stored.metadata() or {}
        if FORMAT not in metadata:
            raise CheckpointError(f"{path}: a safetensors file, but not a DENet checkpoint")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    with reading(path, CheckpointError, "the configuration inside is wrong"):
        header = msgspec.json.decode(metadata[FORMAT], type=Header)
        if header.schema not in (SCHEMA, *EARLIER):
            raise CheckpointError(
                f"{path}: checkpoint schema {header.schema}, but this version of denet reads "
                f"schema {SCHEMA}"
            )
        _check_content(path, header, tensors)
        config = msgspec.json.decode(header.config, type=ModelConfig)
        provenance = _provenance(header)
        try:
            _check_fit(path, config, tensors)
            model = DENet(config)
        except ConfigError as error:
            raise CheckpointError(f"{path}: the configuration inside is wrong: {error}") from None
    with reading(path, CheckpointError, "the weights do not fit the configuration"):
        model.load_state_dict(tensors)
    return Checkpoint(model.eval(), provenance)


def _provenance(header: Header) -> Provenance | None:
    if isinstance(header.provenance, msgspec.UnsetType):
        return None
    return msgspec.json.decode(header.provenance, type=Provenance)


def _check_fit(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """See that the weights are those of the configuration before memory is taken for a network of
    it: a few digits of a file that nobody vouches for would ask for all that there is."""
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in DENet(config).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted == found:
        return
    name = next(n for n in (*wanted, *found) if wanted.get(n) != found.get(n))
    said = {n: "not there" if shape is None else f"of shape {shape}" for n, shape in
            (("file", found.get(name)), ("configuration", wanted.get(name)))}  # fmt: skip
    raise CheckpointError(
        f"{path}: the weights do not fit the configuration: {name} is {said['file']} in the file, "
        f"and {said['configuration']} by the configuration"
    )


def digest(config: bytes, tensors: Mapping[str, Tensor], provenance: bytes = b"") -> str:
    """The sha256 of a configuration as JSON, of tensors, in any order, with their names, types
    and shapes, and of a provenance as JSON, where there is one."""
    found = hashlib.sha256(config)
    if provenance:
        found.update(b"\0" + provenance)
    for name, tensor in sorted(tensors.items()):
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(plain.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _check_content(path: Path, header: Header, tensors: Mapping[str, Tensor]) -> None:
    """See that configuration and weights are as they were written."""
    if header.schema > 1 or header.digest:
        origin = header.provenance
        more = b"" if isinstance(origin, msgspec.UnsetType) else bytes(origin)
        if not hmac.compare_digest(header.digest, digest(bytes(header.config), tensors, more)):
            raise CheckpointError(
                f"{path}: damaged: its digest is not that of its content: take it from where it "
                "came once more"
            )
        return
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: damaged: {name} has values that are no numbers")
