"""Reads what a server answered; nothing in it is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.manifest import Manifest, parse_manifest
from runtime.bundle.meaning import check_meaning
from runtime.serve.contract import (
    CONTRACT,
    CONTRACT_KEY,
    EMBEDDING,
    MADE_BY,
    MANIFEST_KEY,
    MOST_PROCESSES,
    MadeBy,
    ServeError,
    read_made_by,
)

UNIT = 1e-3
"""By how much the norm of an embedding may differ from 1."""

MOST_ROWS = 1 << 16
"""Samples of a batch that a server may offer to take."""


@dataclass(frozen=True)
class ServedModel:
    """What a server says of its model.

    Attributes:
        manifest: of the bundle.
        content: its bytes.
        rows: the most samples of a request.
        processes: that embed.
    """

    manifest: Manifest
    content: bytes
    rows: int
    processes: int


def read_config(response: Any, name: str) -> ServedModel:
    """What a server says of its model.

    Args:
        response: a ModelConfigResponse.
        name: of the server, for messages.

    Raises:
        BundleError: the manifest is none.
        ServeError: it is no model that `denet serve` wrote.
    """
    config = response.config
    found: dict[str, str] = {each.key: each.value.string_value for each in config.parameters}
    contract, text = found.get(CONTRACT_KEY), found.get(MANIFEST_KEY)
    if contract is None or text is None:
        raise ServeError(f"{name}: the model {config.name[:64]!r} was not written by `denet serve`")
    if contract != CONTRACT:
        raise ServeError(
            f"{name}: speaks version {contract[:20]!r} with its clients, and this is {CONTRACT}: "
            "use the same denet on both sides"
        )
    if not 1 <= config.max_batch_size <= MOST_ROWS:
        raise ServeError(f"{name}: takes batches of {config.max_batch_size} samples")
    # Triton tells of one where the configuration says nothing.
    processes = sum(group.count for group in config.instance_group) or 1
    if not 1 <= processes <= MOST_PROCESSES:
        raise ServeError(f"{name}: embeds in {processes} processes")
    content = text.encode()
    manifest = parse_manifest(name, content)
    check_meaning(name, manifest)
    return ServedModel(manifest, content, int(config.max_batch_size), processes)


def read_answer(
    response: Any, rows: int, dim: int, name: str
) -> tuple[NDArray[np.float32], MadeBy]:
    """The embeddings in an answer, and by what all of them were made.

    Args:
        response: a ModelInferResponse.
        rows: how many were asked for.
        dim: numbers of an embedding.
        name: of the server, for messages.

    Raises:
        ServeError: it is no such answer, or the embeddings are no unit vectors of numbers.
    """
    outputs, contents = list(response.outputs), list(response.raw_output_contents)
    raw = {each.name: content for each, content in zip(outputs, contents, strict=False)}
    specs = {each.name: (each.datatype, tuple(each.shape)) for each in outputs}
    wanted = {EMBEDDING: ("FP32", (rows, dim)), MADE_BY: ("BYTES", (rows, 1))}
    if specs != wanted or len(outputs) != len(wanted) or len(contents) != len(wanted):
        shown = ", ".join(f"{n[:32]} {t[:16]} {s[:4]}" for n, (t, s) in list(specs.items())[:4])
        raise ServeError(f"{name}: answers with other tensors than were asked for: {shown}")
    if len(raw[EMBEDDING]) != 4 * rows * dim:
        raise ServeError(f"{name}: its embeddings are cut short")
    embeddings = np.frombuffer(raw[EMBEDDING], "<f4").reshape(rows, dim).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    if not np.isfinite(norms).all():
        raise ServeError(f"{name}: its embeddings hold values that are no numbers")
    if not (abs(norms - 1) <= UNIT).all():
        raise ServeError(f"{name}: its embeddings are not of norm 1")
    texts = set(_texts(raw[MADE_BY], rows, name))
    made_by = read_made_by(texts.pop()) if len(texts) == 1 else None
    if made_by is None:
        raise ServeError(f"{name}: does not say by what its embeddings were made")
    return embeddings, made_by


def _texts(content: bytes, rows: int, name: str) -> list[bytes]:
    """A tensor of BYTES: each with its length before it, in four bytes."""
    found, at = [], 0
    for _ in range(rows):
        length = int.from_bytes(content[at : at + 4], "little")
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(content):
        raise ServeError(f"{name}: its answer is cut short")
    return found
