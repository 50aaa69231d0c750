"""Writes a bundle: its engines, the canary and the manifest, checked before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch

import denet
from denet.errors import DenetError
from denet.files import replaced_folder
from denet.graph import Graph
from denet.model import DENet
from denet.outputs import SIZE, writing
from export.engines import Shape, engine_graphs
from export.golden import make_canary
from export.onnx import Traced, to_onnx
from export.parity import ParityError, check_parity, parity_steps
from runtime.bundle.bundle import Bundle
from runtime.bundle.card import ModelCard
from runtime.bundle.contents import check_out as check_bundle_out
from runtime.bundle.contents import check_replaced
from runtime.bundle.manifest import (
    SCHEMA,
    Canary,
    Engine,
    File,
    HeadSpec,
    Manifest,
    NormalizationSpec,
    Preprocessing,
    TensorSpec,
)
from runtime.bundle.writing import npz, store, store_manifest
from runtime.preprocess import Preprocessor
from runtime.runtime import CanaryError, Runtime

MIN_COSINE_FP32 = 0.9999
"""What the canary asks of FP32 engines on any device: far under it lie a wrong image size or
colour order, far above it the different order of sums on another processor."""


class ExportError(DenetError):
    """An export that did not happen; nothing is left behind. The message says why."""


def export_steps(graph: Graph) -> int:
    """Calls of `notify` during an export: each engine, the comparison with PyTorch, the canary."""
    return len(graph.engines) + parity_steps(graph) + 1


def export_bundle(
    model: DENet,
    out: Path,
    *,
    checkpoint_sha256: str,
    card: ModelCard | None = None,
    replace: bool = False,
    threads: int | None = None,
    finish: Callable[[Path], object] | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Export `model` to a new bundle at `out`, in FP32.

    Everything is written under a temporary name beside `out`, compared with PyTorch engine by
    engine and state by state, and only then renamed. The same checkpoint gives the same bytes.

    Args:
        model: in evaluation mode, on the CPU.
        out: the directory to make, by custom `NAME.denet`.
        checkpoint_sha256: of the checkpoint that `model` came from.
        card: what is told of the model.
        replace: replace a bundle that is at `out`; anything else there is never touched.
        threads: CPU threads of ONNX Runtime in the comparison.
        finish: done with the checked bundle before it gets its name, such as a calibration.
        notify: told what is done next, `export_steps` times.

    Raises:
        DenetError: what `finish` raises.
        ExportError: `out` is in the way or cannot be written, the model is of another composition
            than "dynamic", or an engine does not agree with PyTorch.
    """
    if model.config.composition != "dynamic":
        raise ExportError(
            f'{out}: composition "{model.config.composition}" is not exported: only the dynamic '
            "composition is"
        )
    if model.training:
        raise ExportError(f"{out}: the model is in training mode: call model.eval() first")
    check_out(out, replace, size=sum(p.nbytes for p in model.parameters()))
    replaceable = partial(check_replaced, out, ExportError, replace=replace)
    try:
        with writing(out, ExportError), replaced_folder(out, replaceable) as root:
            _write(model, root, checkpoint_sha256, card, notify)
            with Runtime.load(root, "ort-cpu", "fp32", threads=threads) as runtime:
                check_parity(model, runtime, notify=notify)
                notify("canary")
                runtime.check()
            if finish is not None:
                _finished(finish, root, out)
    except (ParityError, CanaryError) as error:
        raise ExportError(f"{out}: not written: {error}") from None
    return Bundle.open(out)


def _finished(finish: Callable[[Path], object], root: Path, out: Path) -> None:
    try:
        finish(root)
    except DenetError as error:  # the user knows nothing of a temporary folder
        raise type(error)(str(error).replace(str(root), str(out))) from None


def check_out(out: Path, replace: bool, size: int = SIZE) -> None:
    """See that a bundle may and can be written to `out`, before the work for it is done.

    Args:
        out: the directory to make.
        replace: replace a bundle that is there.
        size: bytes that it takes at least.

    Raises:
        ExportError: it may not or cannot; says why.
    """
    check_bundle_out(out, ExportError, replace=replace, size=size)


def _write(
    model: DENet,
    root: Path,
    checkpoint_sha256: str,
    card: ModelCard | None,
    notify: Callable[[str], None],
) -> None:
    engines: dict[str, Engine] = {}
    traced: Traced = {}
    for graph in engine_graphs(model):
        notify(graph.name)
        file = store(root, f"onnx/fp32/{graph.name}.onnx", to_onnx(graph, traced))
        engines[graph.name] = Engine(
            inputs=_specs(graph.inputs),
            outputs=_specs(graph.outputs),
            flops=graph.flops(),
            files={"fp32": file},
        )
    preprocessing = _preprocessing(model)
    manifest = Manifest(
        format="denet-bundle",
        schema=SCHEMA,
        tools={
            "denet": denet.__version__,
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
        },
        checkpoint_sha256=checkpoint_sha256,
        model=msgspec.to_builtins(model.config),
        channels=model.channels,
        feature_size=model.feature_size,
        preprocessing=preprocessing,
        engines=engines,
        default_precision="fp32",
        head=HeadSpec(
            dim=model.graph.parts * model.channels, normalize=True, affine=_affine(model, root)
        ),
        canary=Canary(
            file=store(root, "canary.npz", make_canary(model, Preprocessor(preprocessing))),
            min_cosine={"fp32": MIN_COSINE_FP32},
        ),
        card=msgspec.UNSET if card is None else card,
    )
    store_manifest(root, manifest)


def _specs(tensors: dict[str, Shape]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=name, shape=shape) for name, shape in tensors.items())


def _preprocessing(model: DENet) -> Preprocessing:
    height, width = model.config.image_size
    return Preprocessing(
        height=height,
        width=width,
        interpolation="bilinear",
        modalities={
            m: NormalizationSpec(
                mean=(chosen := model.config.normalization_of(m)).mean,
                std=chosen.std,
                range16=chosen.range16,
            )
            for m in model.graph.modalities
        },
    )


def _affine(model: DENet, root: Path) -> File | None:
    """The BN neck, where retrieval stands behind it, or its mean, and the weight of c({anchor}):
    one multiplication and one addition. None if both leave the parts as they are."""
    scale = model.part_scale().double()
    shift = torch.zeros_like(scale)
    if model.config.neck == "after":
        neck: dict[str, Any] = {k: v.double() for k, v in model.neck.state_dict().items()}
        normed = neck["weight"] / torch.sqrt(neck["running_var"] + model.neck.eps)
        shift = (neck["bias"] - neck["running_mean"] * normed) * scale
        scale = normed * scale
    elif model.config.neck == "centred":
        assert model.neck.running_mean is not None
        shift = -model.neck.running_mean.double() * scale
    elif bool((scale == 1).all()):
        return None
    arrays = {"scale": scale, "shift": shift}
    return store(
        root, "head.npz", npz({k: v.numpy().astype(np.float32) for k, v in arrays.items()})
    )
