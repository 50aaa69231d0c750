"""Writes a bundle as a model of a Triton model repository."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from denet.files import replaced_folder
from denet.outputs import check_free, check_room, writing
from denet.reading import read_text
from denet.temporary import settle
from runtime.bundle.bundle import Bundle
from runtime.bundle.contents import check_replaced
from runtime.bundle.manifest import BUILT, MANIFEST
from runtime.bundle.signature import SIGNATURE, check_signed
from runtime.bundle.writing import link, link_folder, store
from runtime.serve.contract import (
    CONTRACT,
    CONTRACT_KEY,
    DIGEST_KEY,
    EMBEDDING,
    MADE_BY,
    MANIFEST_KEY,
    MODEL,
    MOST_PROCESSES,
    ServeError,
    is_model_name,
)
from runtime.serve.model import BUNDLE

CONFIG = "config.pbtxt"
VERSION = "1"
"""The folder of the model's version: always this one, which is replaced as a whole."""

MARK = "# written by denet serve\n"
"""The first line of a configuration of ours."""

PROGRAM = '''"""Written by `denet serve`. The package denet-edge does the work: it has to be
installed in the Python that Triton's Python backend runs."""

from runtime.serve.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


@dataclass(frozen=True)
class ServeOptions:
    """How a bundle is served.

    Attributes:
        backend, precision, threads: as of `Runtime.load`, on the machine of the server.
        batch: the most samples that run at once.
        delay: milliseconds that a sample waits at most for others.
        processes: that embed, each its own batches, with a copy of the engines; the server's cores
            are divided among them unless `threads` says how many each has.
        name: of the model.
    """

    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch: int = 16
    delay: float = 2.0
    processes: int = 1
    name: str = MODEL


def check_repository(out: Path, options: ServeOptions, *, replace: bool, size: int = 0) -> None:
    """See that a model can be written to the repository at `out`, before the work for it is done.

    Args:
        out: the repository.
        options: with the name of the model.
        replace: a model of ours that is there.
        size: bytes of the bundle.

    Raises:
        ServeError: it cannot; says why.
    """
    if not is_model_name(options.name):
        raise ServeError(f"--name {options.name!r}: take letters, digits, and then also . _ -")
    if not 1 <= options.processes <= MOST_PROCESSES:
        raise ServeError(f"--processes {options.processes}: take 1 to {MOST_PROCESSES}")
    check_room(out, ServeError)
    if (out / MANIFEST).exists():
        raise ServeError(f"{out}: is a bundle: name a folder for the repository")
    if out.exists():
        settle(out / options.name)
        _check_replaced(out / options.name, replace=replace)
        check_room(out / options.name, ServeError, size)


def write_repository(
    bundle: Bundle,
    out: Path,
    options: ServeOptions,
    *,
    key: Path | None = None,
    replace: bool = False,
) -> Path:
    """Write a bundle as a model of the repository at `out`, whole or not at all.

    Args:
        bundle: to be served; all its files are hashed.
        out: the repository, which is made if need be. Other models in it stay.
        options: how.
        key: file of public keys, by one of which the bundle has to be signed.
        replace: a model of ours of that name.

    Returns:
        The folder of the model.

    Raises:
        BundleError: the bundle is damaged, or not signed as demanded.
        ServeError: it cannot be written, or something else is there.
    """
    size = sum(file.bytes for file in bundle.manifest.files())
    check_repository(out, options, replace=replace, size=size)
    if key is not None:
        check_signed(bundle, key)
    bundle.verify()
    model = out / options.name
    with writing(out, ServeError):
        out.mkdir(parents=True, exist_ok=True)
    allowed = partial(_check_replaced, model, replace=replace)
    with writing(model, ServeError), replaced_folder(model, allowed) as root:
        store(root, CONFIG, configuration(bundle, options).encode())
        store(root, f"{VERSION}/model.py", PROGRAM.encode())
        copy = root / VERSION / BUNDLE
        for file in {file.path: file for file in bundle.manifest.files()}.values():
            link(bundle.root, copy, file)
        store(copy, MANIFEST, bundle.content)
        if (bundle.root / SIGNATURE).exists():
            store(copy, SIGNATURE, (bundle.root / SIGNATURE).read_bytes())
        link_folder(bundle.root / BUILT, copy / BUILT)
        Bundle.open(copy)
    return model


def configuration(bundle: Bundle, options: ServeOptions) -> str:
    """The `config.pbtxt` of a served bundle. The manifest is in it, so that a client knows what it
    compares with, and refuses what does not fit."""
    inputs = "".join(
        f'input {{ name: "{m}" data_type: TYPE_STRING dims: [ 1 ] }}\n'
        for m in bundle.graph.modalities
    )
    parameters = {
        CONTRACT_KEY: CONTRACT,
        DIGEST_KEY: hashlib.sha256(bundle.content).hexdigest(),
        "backend": options.backend,
        "precision": options.precision,
        "threads": str(options.threads or 0),
        MANIFEST_KEY: bundle.content.decode(),
    }
    written = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{_escaped(value)}" }} }}\n'
        for key, value in parameters.items()
    )
    return (
        f'{MARK}name: "{options.name}"\n'
        'backend: "python"\n'
        f"max_batch_size: {options.batch}\n"
        f"{inputs}"
        f'output {{ name: "{EMBEDDING}" data_type: TYPE_FP32 '
        f"dims: [ {bundle.manifest.head.dim} ] }}\n"
        f'output {{ name: "{MADE_BY}" data_type: TYPE_STRING dims: [ 1 ] }}\n'
        f"instance_group {{ count: {options.processes} kind: KIND_CPU }}\n"
        # No bound of the queue and no timeout in it: either keeps Triton from taking a batch while
        # another runs, and then a request may wait for half a second until it looks.
        "dynamic_batching {\n"
        f"  max_queue_delay_microseconds: {round(1e3 * options.delay)}\n"
        "}\n"
        f"{written}"
    )


def _escaped(text: str) -> str:
    """For a string in protobuf's text format, which is of bytes."""
    plain = {ord("\\"): r"\\", ord('"'): r"\""}
    return "".join(
        plain.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
        for byte in text.encode()
    )


def _check_replaced(model: Path, *, replace: bool) -> None:
    """See that nothing is lost at `model`: nothing is there, or a model of ours to replace.

    Raises:
        ServeError: something else is there, or files that are not ours, or `replace` is false.
    """
    with writing(model, ServeError):
        if not os.path.lexists(model):
            return
        known = {"": {CONFIG, VERSION}, VERSION: {"model.py", "__pycache__", BUNDLE}}
        ours = (model / CONFIG).is_file() and read_text(model / CONFIG, ServeError).startswith(MARK)
        foreign = [
            path
            for folder, names in known.items()
            if (model / folder).is_dir()
            for path in sorted((model / folder).iterdir())
            if path.name not in names
        ]
        if not ours:
            raise ServeError(f"{model}: exists and `denet serve` did not write it: choose another")
        if foreign:
            raise ServeError(
                f"{model}: is not replaced, for it holds what `denet serve` did not write: "
                f"{foreign[0]}: move that elsewhere"
            )
        check_free(model, ServeError, replace=replace)
        if (model / VERSION / BUNDLE).exists():
            check_replaced(model / VERSION / BUNDLE, ServeError, replace=replace)
