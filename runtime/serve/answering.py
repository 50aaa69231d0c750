"""What a server does with requests that came together: one batch, and each its own answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.graph import Modality
from runtime.runtime import Runtime, Sample
from runtime.serve.contract import MadeBy
from runtime.serve.wire import unpack

Columns = Mapping[Modality, Sequence[bytes]]
"""The images of a request by modality, one for each of its rows."""


class BadRequestError(DenetError):
    """A request that is wrong in itself: no server could answer it."""


Answer = Union[NDArray[np.float32], BadRequestError, Exception]
"""The embeddings (B, dim) of a request of B rows; or why there are none."""


class Answering:
    """Answers requests with a bundle.

    Attributes:
        made_by: what makes the embeddings, for the answers.

    Args:
        runtime: embeds.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        digest = hashlib.sha256(runtime.bundle.content).hexdigest()
        self.made_by = MadeBy(digest, runtime.backend, runtime.variant)

    def __call__(self, requests: Sequence[Columns]) -> list[Answer]:
        """An answer for each. All samples are one batch; if that fails, each request is tried
        alone, so that one that is bad costs no other."""
        answers: list[Answer] = []
        good: list[tuple[int, list[Sample]]] = []
        for index, columns in enumerate(requests):
            try:
                samples = self._samples(columns)
            except DenetError as error:
                answers.append(BadRequestError(str(error)))
            else:
                answers.append(RuntimeError("was not embedded"))
                good.append((index, samples))
        for index, answer in self._together(good):
            answers[index] = answer
        return answers

    def _together(self, good: list[tuple[int, list[Sample]]]) -> list[tuple[int, Answer]]:
        found: list[tuple[int, Answer]] = []
        if not good:
            return found
        try:
            rows = self._runtime.embed_batch([sample for _, each in good for sample in each])
        except Exception as error:  # of a device, an engine, or an image that decodes and is none
            if len(good) == 1:
                return [(good[0][0], error)]
            return [answer for each in good for answer in self._together([each])]
        first = 0
        for index, samples in good:
            found.append((index, rows[first : first + len(samples)]))
            first += len(samples)
        return found

    def _samples(self, columns: Columns) -> list[Sample]:
        """Raises: DenetError; it names the row and the modality."""
        samples: list[Sample] = []
        for row, images in enumerate(zip(*columns.values(), strict=True)):
            named = zip(columns, images, strict=True)
            found = {m: unpack(content, f"row {row}, {m}") for m, content in named}
            sample = {m: image for m, image in found.items() if image is not None}
            if not sample:
                raise BadRequestError(f"row {row}: all modalities are missing")
            samples.append(sample)
        return samples
