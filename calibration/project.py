"""Makes a bundle's embeddings shorter: fits a projection, judges it, and puts it into the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.embed import embed_states
from calibration.errors import CalibrationError
from calibration.projection import ProjectionChoice, check_axes, choose_projection, mean_map
from calibration.request import POINTS, Notify
from calibration.samples import Samples, choose_samples
from calibration.write import AS_IT_WAS, check_in_place, check_writable
from denet.data.records import open_data
from denet.evaluate import Split
from denet.files import replaced_folder
from denet.outputs import writing
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BUILT, Projection
from runtime.bundle.writing import link, link_folder, npz, store, store_manifest
from runtime.canary import read_golden
from runtime.head import normalized
from runtime.runtime import CanaryError, Runtime

SAMPLES = 512
"""Fitted on by default: in the seven states of three modalities, 3,584 embeddings."""


@dataclass(frozen=True)
class ProjectionRequest:
    """What is asked of a projection.

    Attributes:
        data: a data set; its training split is used, never its test split.
        dim: numbers that an embedding has behind it.
        samples: to fit it on, at most.
        seed: of their choice.
        budget: points of mAP that the mean over the states may lose; None for 0.5.
        batch: samples at once.
        threads: of the process's pool.
    """

    data: Path
    dim: int
    samples: int = SAMPLES
    seed: int = 0
    budget: float | None = None
    batch: int = 8
    threads: int | None = None


@dataclass(frozen=True)
class Projected:
    """What came of it.

    Attributes:
        bundle: as it is now.
        choice: the projection, and how those that were tried ranked.
        samples: what fitted and what judged.
    """

    bundle: Bundle
    choice: ProjectionChoice
    samples: Samples


def project(root: Path, request: ProjectionRequest, notify: Notify = lambda *_: None) -> Projected:
    """Project the embeddings of the bundle at `root`, in place.

    The projection is fitted on two thirds of the training identities in all states that the data
    can be in, and judged on the others.

    Args:
        root: a bundle in FP32 and no other precision: those are judged with the projection.
        request: what is asked.
        notify: told of progress.

    Raises:
        CalibrationError: it cannot be done as asked; the bundle is as it was.
        BundleError, DataError, SampleError: bundle or data are damaged.
        BackendError: FP32 or the threads cannot be had.
        CanaryError: the bundle gives wrong embeddings here.
    """
    bundle = Bundle.open(root)
    _check(bundle, request)
    check_writable(bundle)
    bundle.verify()
    samples = choose_samples(bundle.manifest, request.data, None, request.samples, request.seed)
    if not samples.labelled:
        raise CalibrationError(
            f"{request.data}: a projection is judged by mAP, but in the training split no identity "
            "is seen by two cameras"
        )
    states = samples.calibration.states
    check_axes(len(samples.calibration.records) * len(states), request.dim)
    total, done = len(samples.calibration.records) + len(samples.judged.records), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        notify("embedding", done, total)

    with Runtime.load(
        bundle,
        "auto",
        "fp32",
        check=True,
        threads=request.threads,
        max_batch=request.batch,
    ) as runtime:
        fitted = embed_states(runtime, samples.calibration.records, states, count)
        judged = embed_states(runtime, samples.judged.records, states, count)
    notify("projecting", 0, 1)
    split = Split(samples.judged.records, samples.judged.records)
    choice = choose_projection(fitted, judged, split, request.dim)
    _keep_budget(choice, request)
    return Projected(_write(bundle, request, choice, samples), choice, samples)


def projection_request(
    data: Path | None, dim: int, budget: float | None, threads: int | None
) -> ProjectionRequest:
    """What an export asks for.

    Raises:
        CalibrationError: no data is named, or it has no training split.
        DataError: it is no data set.
    """
    if data is None:
        raise CalibrationError(
            f"--embedding-dim {dim} is fitted to data: name them by --calibration-data"
        )
    _check_data(data)
    return ProjectionRequest(data=data, dim=dim, budget=budget, threads=threads)


def check_dim(dim: int, wide: int, model: Path) -> None:
    """See that a projection to `dim` numbers makes the embeddings of `model` shorter.

    Raises:
        CalibrationError: they have `wide` numbers, no more.
    """
    if not 1 <= dim < wide:
        raise CalibrationError(
            f"embeddings of {dim}: {model} makes {wide}: ask for less, and at least 1"
        )


def _check_data(data: Path) -> None:
    if not open_data(data).train:
        raise CalibrationError(
            f"{data}: has no training split: a projection must not see the test split"
        )


def _check(bundle: Bundle, request: ProjectionRequest) -> None:
    manifest = bundle.manifest
    _check_data(request.data)
    if manifest.head.projection is not None:
        raise CalibrationError(
            f"{bundle.root}: is projected to {manifest.head.dim} already: export it again"
        )
    check_dim(request.dim, manifest.head.dim, bundle.root)
    if manifest.variants != ("fp32",):
        raise CalibrationError(
            f"{bundle.root}: has {', '.join(manifest.variants)}: other precisions than fp32 were "
            "judged without a projection: take `denet slim --precision fp32`, project that, and "
            "calibrate it again"
        )


def _keep_budget(choice: ProjectionChoice, request: ProjectionRequest) -> None:
    budget = POINTS if request.budget is None else request.budget
    before, after = mean_map(choice.before), mean_map(choice.after)
    if before - after > budget:
        raise CalibrationError(
            f"embeddings of {request.dim} lose {before - after:.2f} points of the mean mAP over "
            f"the states ({before:.2f} to {after:.2f}), more than {budget:g}. Nothing was written: "
            "ask for more numbers, or allow it by --budget"
        )


def _write(
    bundle: Bundle, request: ProjectionRequest, choice: ProjectionChoice, samples: Samples
) -> Bundle:
    manifest, head = bundle.manifest, bundle.manifest.head
    arrays = {} if head.affine is None else bundle.read_arrays(head.affine)
    arrays |= {"mean": choice.mean, "matrix": choice.matrix}
    try:
        with (
            writing(bundle.root, CalibrationError, AS_IT_WAS),
            replaced_folder(bundle.root, partial(check_in_place, bundle.root)) as root,
        ):
            made_anew = {manifest.canary.file, head.affine}
            # Scores are of embeddings that were not projected.
            for file in set(manifest.files()) - made_anew:
                if file == manifest.scores:
                    continue
                link(bundle.root, root, file)
            link_folder(bundle.root / BUILT, root / BUILT)
            canary = store(root, manifest.canary.file.path, npz(_projected_canary(bundle, choice)))
            store_manifest(
                root,
                msgspec.structs.replace(
                    manifest,
                    judged=msgspec.UNSET,  # it was of other embeddings
                    scores=msgspec.UNSET,
                    canary=msgspec.structs.replace(manifest.canary, file=canary),
                    head=msgspec.structs.replace(
                        head,
                        dim=request.dim,
                        affine=store(root, "head.npz", npz(arrays)),
                        projection=Projection(
                            data=str(request.data),
                            samples=len(samples.calibration.records),
                            seed=request.seed,
                            power=choice.power,
                            judged=len(samples.judged.records),
                            map={
                                state.name: (before, choice.after[state])
                                for state, before in choice.before.items()
                            },
                        ),
                    ),
                ),
            )
            Runtime.load(root, "ort-cpu", "fp32", check=True, threads=request.threads).close()
    except CanaryError as error:
        raise CalibrationError(f"{bundle.root}: not projected: {error}") from None
    return Bundle.open(bundle.root)


def _projected_canary(bundle: Bundle, choice: ProjectionChoice) -> dict[str, NDArray[Any]]:
    """The golden inputs with what PyTorch made of them, projected in float64."""
    arrays = read_golden(bundle)
    for name in (f"embedding_{state}" for state in bundle.graph.states):
        short = (arrays[name] - choice.mean.astype(np.float64)) @ choice.matrix
        arrays[name] = normalized(short).astype(np.float32)
    return arrays
