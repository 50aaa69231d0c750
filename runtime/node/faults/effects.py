"""What each fault does to a frame.

An effect is made when a fault begins, so that what it draws at random (how late, which picture,
how long a loop) stays the same until the fault ends.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Union

import numpy as np
from PIL import Image

from runtime.node.health.verdict import Fault
from runtime.node.sources.frame import Frame, Item, Pixels, Undecodable

Effect = Callable[[Frame], Union[Item, None]]
"""A frame -> what is seen instead; None for nothing."""


@dataclass(frozen=True)
class Past:
    """What a stream has shown before a fault begins.

    Attributes:
        frames: the last of its frames, as they were; at least two.
    """

    frames: Sequence[Frame]

    @property
    def period(self) -> float:
        """Seconds between the last two."""
        return self.frames[-1].time - self.frames[-2].time


def absent(_past: Past, _chance: np.random.Generator) -> Effect:
    """No frame comes."""
    return lambda _frame: None


def stale(_past: Past, chance: np.random.Generator) -> Effect:
    """Frames come seconds after their capture."""
    delay = float(chance.uniform(0.6, 5.0))
    return lambda frame: replace(frame, time=frame.time - delay)


def out_of_step(past: Past, _chance: np.random.Generator) -> Effect:
    """Frames are captured in the middle between the moments of the others."""
    return lambda frame: replace(frame, time=frame.time + past.period / 2)


def undecodable(_past: Past, _chance: np.random.Generator) -> Effect:
    """Data that no decoder takes."""
    return lambda frame: Undecodable(
        frame.modality, frame.time, "damaged data (injected)", frame.sequence
    )


def resized(_past: Past, chance: np.random.Generator) -> Effect:
    """Frames of half the size, or turned by 90 degrees."""
    if chance.random() < 0.5:
        return _pixels(lambda image: image[::2, ::2])
    return _pixels(lambda image: np.ascontiguousarray(image.swapaxes(0, 1)))


def recoloured(past: Past, chance: np.random.Generator) -> Effect:
    """Colour becomes one channel or three equal ones; one channel becomes three."""
    if past.frames[-1].image.ndim == 2:
        return _pixels(lambda image: np.repeat(image[:, :, None], 3, 2))
    if chance.random() < 0.5:
        return _pixels(lambda image: image[:, :, 1])
    return _pixels(lambda image: np.repeat(image[:, :, 1:2], 3, 2))


def black(_past: Past, chance: np.random.Generator) -> Effect:
    """Nothing but the noise of a sensor in the dark, or not even that."""
    noise = float(chance.choice([0.0, 1.5, 3.0]))
    return _pixels(lambda image: _noise(image, 3 * (noise > 0), noise, chance))


def saturated(_past: Past, chance: np.random.Generator) -> Effect:
    """All is white but a few dark spots, which stay as they were."""
    spots = float(chance.uniform(0, 0.1))

    def whiten(image: Pixels) -> Pixels:
        white = np.full_like(image, np.iinfo(image.dtype).max)
        keep = image <= np.quantile(image, spots)
        return np.where(keep & (spots > 0), image, white)

    return _pixels(whiten)


def uniform(_past: Past, chance: np.random.Generator) -> Effect:
    """One grey everywhere, as of a decoder that has lost what it would start from."""
    level = float(chance.uniform(60, 200))
    return _pixels(lambda image: _noise(image, level, 0.0, chance))


def half_updated(past: Past, chance: np.random.Generator) -> Effect:
    """The lower or the upper part stays as it was, the rest goes on."""
    old = past.frames[-1].image
    row, lower = _row(old, chance), bool(chance.random() < 0.5)

    def tear(image: Pixels) -> Pixels:
        return np.concatenate((image[:row], old[row:]) if lower else (old[:row], image[row:]))

    return _pixels(tear)


def filled(_past: Past, chance: np.random.Generator) -> Effect:
    """The lower part is grey."""
    level = float(chance.uniform(60, 200))

    def fill(image: Pixels) -> Pixels:
        row = _row(image, chance)
        return np.concatenate((image[:row], _noise(image[row:], level, 0.0, chance)))

    return _pixels(fill)


def shifted(_past: Past, chance: np.random.Generator) -> Effect:
    """The lower part is shifted sideways by another distance in each frame."""

    def shift(image: Pixels) -> Pixels:
        row, width = _row(image, chance), image.shape[1]
        by = int(chance.integers(width // 10 + 2, width // 2)) * int(chance.choice([-1, 1]))
        return np.concatenate((image[:row], np.roll(image[row:], by, axis=1)))

    return _pixels(shift)


def frozen(past: Past, _chance: np.random.Generator) -> Effect:
    """The last picture, again and again, bit for bit."""
    image = past.frames[-1].image
    return lambda frame: replace(frame, image=image)


def frozen_coded(past: Past, chance: np.random.Generator) -> Effect:
    """The last picture, coded anew: another code every 12 frames, as a video's key frames are."""
    image, shown = past.frames[-1].image, 0
    coded = image

    def show(frame: Frame) -> Frame:
        nonlocal coded, shown
        if shown % 12 == 0:
            coded = _coded(image, chance)
        shown += 1
        return replace(frame, image=coded)

    return show


def looping(past: Past, chance: np.random.Generator) -> Effect:
    """The last 2 to 12 pictures, again and again, bit for bit."""
    count = min(int(chance.integers(2, 13)), len(past.frames))
    images, shown = [frame.image for frame in past.frames[-count:]], 0

    def show(frame: Frame) -> Frame:
        nonlocal shown
        shown += 1
        return replace(frame, image=images[(shown - 1) % count])

    return show


EFFECTS: dict[str, tuple[Fault, Callable[[Past, np.random.Generator], Effect]]] = {
    "absent": ("absent", absent),
    "stale": ("stale", stale),
    "out of step": ("out of step", out_of_step),
    "undecodable": ("undecodable", undecodable),
    "size": ("size", resized),
    "channels": ("channels", recoloured),
    "black": ("black", black),
    "saturated": ("saturated", saturated),
    "uniform": ("uniform", uniform),
    "torn: half updated": ("torn", half_updated),
    "torn: half empty": ("torn", filled),
    "torn: shifted": ("torn", shifted),
    "frozen": ("frozen", frozen),
    "frozen, coded anew": ("frozen", frozen_coded),
    "looping": ("looping", looping),
}
"""Every kind of fault that can be made: what it should be found to be, and what makes it."""


def _pixels(change: Callable[[Pixels], Pixels]) -> Effect:
    return lambda frame: replace(frame, image=change(frame.image))


def _row(image: Pixels, chance: np.random.Generator) -> int:
    """A row in the middle of the frame, where it tears."""
    height = image.shape[0]
    return int(chance.integers(round(0.2 * height), round(0.8 * height)))


def _noise(image: Pixels, level: float, spread: float, chance: np.random.Generator) -> Pixels:
    """Noise of the shape and type of `image`, around a level of 0 to 255."""
    scale = np.iinfo(image.dtype).max / 255
    values = chance.normal(level, spread, image.shape) if spread else np.full(image.shape, level)
    return np.clip(np.rint(values * scale), 0, 255 * scale).astype(image.dtype)


def _coded(image: Pixels, chance: np.random.Generator) -> Pixels:
    """The image as a JPEG of some quality shows it; of 16 bits, off by one step here and there."""
    if image.dtype != np.uint8:
        off = image.astype(np.int32) + chance.integers(-1, 2, image.shape)
        clipped: Pixels = np.clip(off, 0, 65535).astype(image.dtype)
        return clipped
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(chance.integers(80, 96)))
    return np.asarray(Image.open(buffer))
