"""FP16 without data: every engine in half, seen not to overflow on images that need no data set.

Half has no scales, so nothing has to be measured to make it. What could go wrong is that a value
leaves its range: that is looked for on the bundle's golden inputs and on drawn images, in every
state. Real data shows more of what a camera brings, and says what FP16 costs in mAP: that is
`calibration.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.canary import canary_limit
from calibration.errors import CalibrationError
from calibration.fp16 import MARGIN, fp16_engine, overflow
from calibration.observe import Observer
from calibration.ranges import Ranges
from calibration.replay import Replay, ReplayEngines, all_in
from calibration.request import COSINE
from calibration.table import read_table, weights_digest
from calibration.write import AS_IT_WAS, check_in_place, check_writable
from denet.files import replaced_folder
from denet.graph import Modality
from denet.outputs import writing
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form
from runtime.bundle.manifest import BUILT, Preprocessing
from runtime.bundle.writing import link, link_folder, store, store_manifest
from runtime.canary import read_golden
from runtime.cosine import row_cosines
from runtime.head import Head
from runtime.preprocess import Preprocessor
from runtime.runtime import Runtime

DRAWN = 16
"""Images that are drawn for each modality, beside the golden ones."""

BATCH = 8

Images = dict[Modality, NDArray[np.float32]]


@dataclass(frozen=True)
class HalfOutcome:
    """What came of it.

    Attributes:
        bundle: as it is now.
        samples: how many, golden and drawn, were run in each state.
        engine, tensor, largest: where the largest magnitude was seen, and what it was.
        cosines: by state, the least cosine of an embedding in FP16 to that in FP32.
    """

    bundle: Bundle
    samples: int
    engine: str
    tensor: str
    largest: float
    cosines: dict[str, float]


def add_fp16(
    root: Path,
    *,
    make_default: bool = True,
    seed: int = 0,
    threads: int | None = None,
    notify: Callable[[int], None] = lambda _: None,
) -> HalfOutcome:
    """Add FP16 engines to the bundle at `root`, in place; what else it holds stays, and so do
    engines that have it already.

    Args:
        root: a bundle that holds FP32.
        make_default: whether the bundle runs in FP16 from now on.
        seed: of the drawn images.
        threads: of ONNX Runtime.
        notify: told of so many engines more.

    Raises:
        CalibrationError: a value leaves the range of half; the bundle is as it was.
        BundleError: the bundle is damaged.
        BackendError: the threads cannot be had.
        CanaryError: the bundle gives wrong embeddings here.
    """
    bundle = Bundle.open(root)
    weights_digest(bundle.manifest)  # refuses a bundle without FP32
    floats = sum(e.files["fp32"].bytes for e in bundle.manifest.engines.values())
    check_writable(bundle, size=floats // 2)
    bundle.verify()
    Runtime.load(bundle, "ort-cpu", "fp32", check=True, threads=threads).close()
    images = probe_images(bundle, seed)
    ranges = _observed(bundle, images, threads)
    models: dict[str, bytes] = {}
    for engine, known in bundle.manifest.engines.items():
        notify(1)
        if "fp16" in known.files:
            continue
        model = bundle.read_engine(engine, "fp32")
        if (why := overflow(model, ranges[engine])) is not None:
            raise CalibrationError(
                f"{bundle.root}: {engine} cannot be FP16: {why}, with a factor of {MARGIN:g} for "
                "what other images bring. Nothing was written: `denet calibrate` with data keeps "
                "such engines in FP32"
            )
        models[engine] = fp16_engine(model)
    engines = ReplayEngines(bundle.graph, partial(_read, bundle, models), threads)
    cosines = _cosines(bundle, engines, images)
    limit = canary_limit(bundle, engines, all_in(bundle.graph, "fp16"))
    largest, engine, tensor = max(
        (max(map(abs, known.minmax)), engine, name)
        for engine, tensors in ranges.items()
        for name, known in tensors.items()
    )
    return HalfOutcome(
        bundle=_write(bundle, models, limit, make_default=make_default),
        samples=len(next(iter(images.values()))),
        engine=engine,
        tensor=tensor,
        largest=largest,
        cosines=cosines,
    )


def probe_images(bundle: Bundle, seed: int) -> Images:
    """Network inputs (n, 3, H, W) of each modality: the golden images, and `DRAWN` others: black,
    white, noise of every size of grain."""
    golden = read_golden(bundle)
    spec = bundle.manifest.preprocessing
    preprocess, random = Preprocessor(spec), np.random.default_rng(seed)
    made: Images = {}
    for modality in bundle.graph.modalities:
        drawn = [_drawn(spec, number, random) for number in range(DRAWN)]
        pixels = [*golden[f"image_{modality}"], *drawn]
        made[modality] = np.stack([preprocess(image, modality) for image in pixels])
    return made


def _drawn(spec: Preprocessing, number: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3): black and white first, then noise in squares of 1, 2, 4, ... pixels."""
    shape = (spec.height, spec.width, 3)
    if number < 2:
        return np.full(shape, 255 * number, np.uint8)
    grain = min(2 ** (number % 5), spec.height, spec.width)
    rows, columns = -(-spec.height // grain), -(-spec.width // grain)
    noise = random.integers(0, 256, (rows, columns, 3), np.uint8)
    enlarged = noise.repeat(grain, axis=0).repeat(grain, axis=1)
    return np.ascontiguousarray(enlarged[: spec.height, : spec.width])


def _observed(bundle: Bundle, images: Images, threads: int | None) -> dict[str, dict[str, Ranges]]:
    """The extremes of every tensor; those of an earlier calibration on real data count, too."""
    observer = Observer(bundle, threads, histograms=False)
    forms = all_in(bundle.graph, "fp32")
    for batch in _batches(images):
        replay = Replay(observer, batch)
        for state in bundle.graph.states:
            replay.parts(state, forms)
    found = {engine: observer.ranges(engine) for engine in bundle.graph.engines}
    table = read_table(bundle)
    for engine, tensors in ({} if table is None else table.engines).items():
        for name, known in tensors.items():
            mine = found[engine].get(name, known)
            low, high = zip(mine.minmax, known.minmax, strict=True)
            found[engine][name] = Ranges(minmax=(min(low), max(high)))
    return found


def _batches(images: Images) -> list[Images]:
    count = len(next(iter(images.values())))
    return [
        {m: array[start : start + BATCH] for m, array in images.items()}
        for start in range(0, count, BATCH)
    ]


def _read(bundle: Bundle, models: dict[str, bytes], engine: str, form: Form) -> bytes:
    new = form == "fp16" and engine in models
    return models[engine] if new else bundle.read_engine(engine, form)


def _cosines(bundle: Bundle, engines: ReplayEngines, images: Images) -> dict[str, float]:
    head = Head(bundle)
    least = dict.fromkeys((state.name for state in bundle.graph.states), 1.0)
    for batch in _batches(images):
        replay = Replay(engines, batch)
        for state in bundle.graph.states:
            half, exact = (
                head(np.stack([part for _, part in replay.parts(state, forms)], axis=1))
                for forms in (all_in(bundle.graph, "fp16"), all_in(bundle.graph, "fp32"))
            )
            found = float(np.min(row_cosines(half, exact)))
            if not found >= COSINE:  # a NaN, too
                raise CalibrationError(
                    f"{bundle.root}: in FP16 an embedding in the state {state} has a cosine of "
                    f"{found:.3g} to that of FP32, and {COSINE} is the least. Nothing was written: "
                    "`denet calibrate` with data shows which engine costs so much"
                )
            least[state.name] = min(least[state.name], found)
    return least


def _write(bundle: Bundle, models: dict[str, bytes], limit: float, *, make_default: bool) -> Bundle:
    manifest = bundle.manifest
    with (
        writing(bundle.root, CalibrationError, AS_IT_WAS),
        replaced_folder(bundle.root, partial(check_in_place, bundle.root)) as root,
    ):
        for file in set(manifest.files()):
            link(bundle.root, root, file)
        link_folder(bundle.root / BUILT, root / BUILT)
        engines = dict(manifest.engines)
        for name, model in models.items():
            file = store(root, f"onnx/fp16/{name}.onnx", model)
            files = {**engines[name].files, "fp16": file}
            engines[name] = msgspec.structs.replace(engines[name], files=files)
        limits = manifest.canary.min_cosine | {"fp16": limit}
        changed = msgspec.structs.replace(
            manifest,
            engines=engines,
            default_precision="fp16" if make_default else manifest.default_precision,
            canary=msgspec.structs.replace(manifest.canary, min_cosine=limits),
        )
        store_manifest(root, changed)
        Bundle.open(root).verify()
    return Bundle.open(bundle.root)
