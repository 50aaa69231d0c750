"""Preprocessing apart, and end to end: from the bytes of image files."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from denet.graph import Modality, State
from denet.pixels import Range
from runtime.benchmark.costs import ImageCost
from runtime.benchmark.inputs import Files, opened, usual_size
from runtime.benchmark.states import Runtimes, graph_of
from runtime.benchmark.stats import joined, timing
from runtime.benchmark.turns import Clock, Notify, Side, Turns, in_turn, shared_out
from runtime.preprocess import ImageLike, Preprocessor, to_pillow

STRETCHES = 10

Images = Mapping[Modality, ImageLike]


def image_cost(
    preprocess: Preprocessor,
    samples: Sequence[Files],
    ranges: Mapping[Modality, Range],
    rounds: int,
    clock: Clock,
    notify: Notify,
) -> ImageCost:
    """What it takes from the bytes of a sample's image files to network input, on one core.

    Three ways run in turn: from the bytes; from images that are decoded; from images that have
    the network's size, too. What each way takes more than the next is a step's own time.

    Args:
        preprocess: the model's.
        samples: complete ones.
        ranges: of each modality, the 16-bit values of black and white.
        rounds: runs of each way, at least, over all samples.
        clock: to take times with.
        notify: told of each turn.
    """
    _, height, width = preprocess.shape
    out: dict[Modality, NDArray[np.float32]] = {
        m: np.empty(preprocess.shape, np.float32) for m in ranges
    }

    def side(images: Callable[[], Images]) -> Side:
        def run() -> None:
            for modality, image in images().items():
                preprocess(image, modality, out[modality])

        return run

    def ways(files: Files) -> dict[str, Side]:
        decoded: Images = {
            m: to_pillow(image, ranges[m]) for m, image in opened(files, ranges).items()
        }
        sized: Images = {m: _resized(image, width, height) for m, image in decoded.items()}
        return {
            "bytes": side(lambda: opened(files, ranges)),
            "decoded": side(lambda: decoded),
            "sized": side(lambda: sized),
        }

    turns = in_turn(
        {f"images of sample {i + 1}": ways(files) for i, files in enumerate(samples)},
        stretches=STRETCHES,
        runs=shared_out(rounds, STRETCHES * len(samples)),
        clock=clock,
        notify=notify,
    ).times
    every = {
        way: [joined([times[way][s] for times in turns.values()]) for s in range(STRETCHES)]
        for way in ("bytes", "decoded", "sized")
    }
    flat = {way: joined(stretches) for way, stretches in every.items()}

    def step(way: str, less: str) -> float:
        return 1e3 * statistics.median(a - b for a, b in zip(flat[way], flat[less], strict=True))

    return ImageCost(
        size=usual_size(samples),
        kilobytes=statistics.fmean(sum(map(len, files.values())) for files in samples) / 1e3,
        total=timing(every["bytes"]),
        decode=step("bytes", "decoded"),
        resize=step("decoded", "sized"),
        normalize=1e3 * statistics.median(flat["sized"]),
    )


def _resized(image: ImageLike, width: int, height: int) -> ImageLike:
    """An image of the network's size; which pixels it has does not matter here."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def end_to_end(
    runtimes: Runtimes, files: Files, rounds: int, clock: Clock, notify: Notify
) -> Turns[State, str]:
    """One sample in each state from the bytes of its image files to its embedding."""

    def side(name: str, state: State) -> Side:
        return lambda: runtimes[name].embed(opened(files, state.available))

    return in_turn(
        {
            state: {name: side(name, state) for name in runtimes}
            for state in graph_of(runtimes).states
        },
        stretches=STRETCHES,
        runs=shared_out(rounds // 2, STRETCHES),
        clock=clock,
        notify=notify,
    )
