"""Recorded folders, replayed as if they were cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.images import read_image
from denet.pixels import FULL, PixelError, Range, declared_values, to_8_bit
from runtime.node.sources.base import Source
from runtime.node.sources.frame import Item, Pixels, SourceError
from runtime.node.sources.pace import Start
from runtime.samples import SampleError, find_samples


class Recording:
    """A folder in RGBNT's layout: `RGB`, `NI` and `TI`, in which one name is one moment.

    All its modalities share a beginning, so a name has one capture time in all of them, and one
    that a folder lacks is missing there at its time.
    """

    def __init__(
        self, root: Path, rate: float, *, loop: bool = False, start: Start | None = None
    ) -> None:
        """Look at what is there.

        Args:
            root: the folder.
            rate: moments a second.
            loop: begin again at the end, for ever.
            start: when the first moment is; shared with other recordings, or its own.

        Raises:
            SourceError: it holds no images, or not as expected; or the rate is not positive.
        """
        if not 0 < rate < float("inf"):
            raise SourceError(f"{root}: a rate of {rate:g} a second: give one above 0")
        try:
            self.samples = find_samples(root)
        except SampleError as error:
            raise SourceError(str(error)) from None
        self.root, self.rate, self.loop = root, rate, loop
        self.start = start or Start()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those of which there is an image."""
        return tuple(m for m in FOLDERS if any(m in s.files for s in self.samples))

    def source(self, modality: Modality, range16: Range = FULL) -> FolderSource:
        """The frames of one modality.

        Args:
            modality: whose.
            range16: the values that are black and white in images of 32 bits, if they are known.

        Raises:
            SourceError: the folder has no image of it.
        """
        if modality not in self.modalities:
            raise SourceError(f"{self.root}: holds no {modality} images")
        return FolderSource(self, modality, range16)

    def sources(self) -> Mapping[Modality, FolderSource]:
        """A source for each modality that there is."""
        return {m: FolderSource(self, m) for m in self.modalities}


class FolderSource(Source):
    """One modality of a recording, at the recording's pace.

    A machine that cannot keep up skips the frames that it is too late for, as a camera would.

    Attributes:
        skipped: how many of them.
    """

    def __init__(self, recording: Recording, modality: Modality, range16: Range = FULL) -> None:
        super().__init__(modality, f"{recording.root} ({modality})", live=False)
        self.recording = recording
        self._range = range16
        self.skipped = 0

    def frames(self, stop: threading.Event) -> Generator[Item, None, None]:
        """See `Source.frames`. A file that cannot be read is an `Undecodable`."""
        recording, position = self.recording, 0
        period, count = 1 / recording.rate, len(recording.samples)
        begin = recording.start.time()
        while recording.loop or position < count:
            due = begin + position * period
            moment = position % count
            sample = recording.samples[moment]
            path = sample.files.get(self.modality)
            position += 1
            late = time.monotonic() - due
            self.skipped += path is not None and late > period
            if stop.wait(max(-late, 0.0) if path is not None else 0.0):
                return
            if path is None or late > period:
                continue
            try:
                image = read_pixels(path, self._range)
            except SourceError as error:
                yield self.undecodable(due, str(error))
            else:
                yield self.frame(due, image, sample.name, moment * period)


def read_pixels(path: Path, range16: Range = FULL) -> Pixels:
    """An image file as it is stored: (H, W) or (H, W, 3), uint8 or uint16.

    Args:
        path: the file.
        range16: the values that are black and white in images of 32 bits; those that do not fit
            into 16 bits are brought to 8 by it.

    Raises:
        SourceError: it cannot be read, or nobody has said what its values mean.
    """
    image = read_image(path, SourceError)
    if not isinstance(image, Image.Image):
        return image
    if image.mode in ("I", "F"):
        try:
            values = declared_values(image, range16)
        except PixelError as error:
            raise SourceError(str(error)) from None
        if range16 != FULL:
            return to_8_bit(values, range16)
        return values.astype(np.uint16)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
