"""What a benchmark embeds: network input that is drawn, and image files, drawn or a user's own."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.graph import Graph, Modality, State
from denet.images import MOST_BYTES, open_image
from denet.reading import read_file
from runtime.benchmark.errors import BenchmarkError
from runtime.bundle.manifest import Preprocessing
from runtime.samples import find_samples

Tensors = Mapping[Modality, NDArray[np.float32]]
"""The network input (3, H, W) of each modality of a sample."""

Files = Mapping[Modality, bytes]
"""The content of the image file of each modality of a sample."""

LARGER = 1.5
"""How many times as high and wide as the network's input drawn images are: a crop is resized."""

QUALITY = 90
"""Of a drawn JPEG."""

MOST_SAMPLES = 8
"""How many of a user's samples are taken."""


def network_inputs(size: Preprocessing, count: int, seed: int) -> list[Tensors]:
    """`count` complete samples: mean 0 and variance 1, as normalized images have."""
    random = np.random.default_rng(seed)
    shape = (3, size.height, size.width)
    return [
        {m: random.standard_normal(shape, dtype=np.float32) for m in size.modalities}
        for _ in range(count)
    ]


def limited(sample: Tensors, state: State) -> Tensors:
    """The sample as if only the modalities of `state` were available."""
    return {m: sample[m] for m in state.available}


def drawn_files(size: Preprocessing, seed: int) -> Files:
    """A complete sample of JPEG files: blobs of colour under fine grain, thermal in grey."""
    random = np.random.default_rng(seed)
    height, width = round(LARGER * size.height), round(LARGER * size.width)
    files: dict[Modality, bytes] = {}
    for modality in size.modalities:
        coarse = Image.fromarray(random.integers(0, 256, (8, 4, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        grain = random.normal(0, 6, smooth.shape)
        image = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
        files[modality] = _jpeg(image.convert("L") if modality == "tir" else image)
    return files


def _jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format="jpeg", quality=QUALITY)
    return content.getvalue()


def read_files(folder: Path, graph: Graph) -> list[Files]:
    """The first complete samples of a folder in the layout of RGBNT201.

    Raises:
        SampleError: it is no such folder.
        BenchmarkError: no sample in it is complete, or a file cannot be read.
    """
    complete = [
        sample
        for sample in find_samples(folder, graph)
        if graph.state(sample.files) == graph.complete
    ]
    if not complete:
        raise BenchmarkError(f"{folder}: no sample has an image of each modality")
    return [
        {m: read_file(path, BenchmarkError, MOST_BYTES) for m, path in sample.files.items()}
        for sample in complete[:MOST_SAMPLES]
    ]


def opened(files: Files, modalities: Iterable[Modality]) -> dict[Modality, Image.Image]:
    """The images of some modalities, not yet decoded.

    Raises:
        BenchmarkError: one is no image that is read.
    """
    return {m: open_image(io.BytesIO(files[m]), f"{m} image", BenchmarkError) for m in modalities}


def usual_size(samples: Sequence[Files]) -> tuple[int, int]:
    """The most frequent size of their images, as (height, width)."""
    sizes = [image.size for files in samples for image in opened(files, files).values()]
    width, height = max(set(sizes), key=lambda size: (sizes.count(size), size))
    return height, width
