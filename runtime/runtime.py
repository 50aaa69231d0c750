"""The runtime: a bundle loaded on this machine, ready to embed samples in any missing state."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.graph import Modality, State
from denet.pixels import Range
from runtime.backends import Choice, choose
from runtime.backends.base import BackendError
from runtime.bundle.bundle import Bundle
from runtime.canary import CanaryReport, check_canary
from runtime.closing import Closing
from runtime.composer import Composer
from runtime.head import Head
from runtime.preprocess import ImageLike, Preprocessor

Sample = Mapping[Modality, ImageLike]
"""The images of one sample by modality; a modality that is absent, or None, is missing."""


class CanaryError(DenetError):
    """The golden inputs do not give the expected embeddings here: the runtime must not serve."""


class Runtime(Closing):
    """Embeds samples with the engines of a bundle, each in the missing state it is in.

    Make one with `Runtime.load`. It may be called from several threads: calls take turns.

    Attributes:
        bundle: the bundle it runs.
        graph: of the bundle's modalities.
        backend: the name of the backend that runs it.
        precision: the precision of its engines.
        variant: the same with what INT8 was made for: "int8-vnni".
        forms: the form of each engine.
        reason: why this backend was chosen.
        dim: the length of an embedding.
    """

    def __init__(
        self,
        bundle: Bundle,
        choice: Choice,
        max_batch: int,
        ranges: Mapping[Modality, Range] | None = None,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.graph = bundle.graph
        self.backend = choice.backend.name
        self.precision = choice.precision
        self.variant = choice.variant
        self.forms = choice.forms
        self.reason = choice.reason
        self.dim = manifest.head.dim
        self.max_batch = min(max_batch, choice.backend.largest_batch or max_batch)
        self.preprocess = Preprocessor(manifest.preprocessing, ranges)
        self.composer = Composer(choice.backend, manifest)
        self._head = Head(bundle)
        self._lock = threading.Lock()
        self._process = os.getpid()
        verifier = ThreadPoolExecutor(1, "denet-verify")
        self._verification = verifier.submit(bundle.verify, choice.forms)
        verifier.shutdown(wait=False)

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str,
        backend: str = "auto",
        precision: str = "auto",
        *,
        check: bool = False,
        preload: bool = False,
        threads: int | None = None,
        max_batch: int = 16,
        cuda_context: Any = "own",
        key: Path | str | None = None,
        ranges: Mapping[Modality, Range] | None = None,
        own_pool: bool = False,
        cache: Path | str | None = None,
    ) -> Runtime:
        """Load a bundle.

        No engine is loaded from a file that is not what the manifest says. Files that are not
        needed yet are verified meanwhile in a thread, and a call after one was found damaged is
        refused; `preload` and `check` wait for it. A backend or precision asked for by name is
        delivered or refused; what "auto" chose, `backend`, `precision` and `reason` tell.

        Args:
            bundle: the bundle, or the path of its directory.
            backend: "auto", "tensorrt", "ort-trt", "ort-trt-rtx", "ort-cuda" or "ort-cpu".
            precision: "auto" (the bundle's default, or FP32 where that was made for other
                hardware), or one that the bundle has: "fp32", "fp16", "int8", "mixed".
            check: run the bundle's canary in all states before anything else (it loads all
                engines).
            preload: load all engines now. Otherwise each is loaded when a state first needs it.
            threads: CPU threads, for all runtimes of this process together; by default the
                number of physical cores that it may use.
            max_batch: the most samples that run at once; longer batches are cut. Engines that
                were built for fewer lower it.
            cuda_context: for the backend "tensorrt": "own", a CUDA context of its own; "primary",
                the device's, which PyTorch, CuPy and ONNX Runtime use; or a PyCUDA context of the
                application.
            key: a file of public keys, by one of which the bundle has to be signed. TensorRT
                engines that others built are taken if one has signed for them.
            ranges: of sensors of more than 8 bits, the values that are black and white; by default
                those of the sensors that the bundle was trained for.
            own_pool: of ONNX Runtime: give each engine CPU threads of its own, instead of making
                the process's shared pool, which sessions of others must take, too.
            cache: a folder where the graphs are kept that ONNX Runtime optimized for this CPU, so
                that the next start is faster; it may grow to the size of the bundle.

        Raises:
            BundleError: the bundle is damaged, foreign, of a future schema, or not signed as
                demanded.
            BackendError: the backend or precision cannot be had here.
            CanaryError: `check` found embeddings that are not the expected ones.
        """
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, not {max_batch}")
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        trusted = None if key is None else Path(key)
        if trusted is not None:
            from runtime.bundle.signature import check_signed  # what it needs, few do

            check_signed(opened, trusted)
        choice = choose(
            opened,
            backend,
            precision,
            threads,
            max_batch=max_batch,
            cuda_context=cuda_context,
            key=trusted,
            own_pool=own_pool,
            cache=None if cache is None else Path(cache),
        )
        runtime = cls(opened, choice, max_batch, ranges)
        if preload or check:
            runtime._verification.result()
        if preload:
            runtime.prepare(runtime.graph.states)
        if check:
            runtime.check()
        return runtime

    def __reduce__(self) -> NoReturn:
        """It is bound to its process.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{self.bundle.root}: a runtime cannot be pickled or copied: give the path of its "
            "bundle, and load it in each process"
        )

    def embed(self, sample: Sample) -> NDArray[np.float32]:
        """The embedding (dim,) of one sample, L2-normalized. Raises: as `embed_batch`."""
        embedding: NDArray[np.float32] = self.embed_batch([sample])[0]
        return embedding

    def embed_batch(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """The embeddings (N, dim) of N samples, L2-normalized; their states may be mixed.

        Raises:
            BackendError: it was loaded in another process, of which this one is a fork; or the
                engines make values that are no numbers.
            BundleError: a file of the bundle is damaged.
            ImageError: an image cannot be read or is of no known kind.
            ValueError: a sample has no modality, or an unknown one.
        """
        return self.head(self.parts(samples))

    def parts(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """The parts (N, P, C) of N samples: c(S), then c({anchor}), before the head. P is the
        graph's `parts`: 6 of three modalities.

        Raises: as `embed_batch`.
        """
        self._refuse_fork()
        self._refuse_damage()
        present = [{m: x for m, x in sample.items() if x is not None} for sample in samples]
        states = [self.graph.state(sample) for sample in present]
        channels = self.bundle.manifest.channels
        parts = np.empty((len(samples), self.graph.parts, channels), np.float32)
        for start in range(0, len(samples), self.max_batch):
            chunk = slice(start, start + self.max_batch)

            def fill(
                i: int, modality: Modality, out: NDArray[np.float32], start: int = start
            ) -> None:
                self.preprocess(present[start + i][modality], modality, out)

            with self._lock:
                parts[chunk] = self.composer.run(states[chunk], fill)
        return parts

    def head(self, parts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Parts (N, P, C) -> embeddings (N, dim).

        Raises:
            BackendError: the engines made values that are no numbers.
        """
        embeddings = self._head(parts)
        # The sum is no number where one of the values is none.
        if not math.isfinite(embeddings.sum()):
            raise BackendError(
                f"{self.bundle.root}: on {self.backend} in {self.variant} the engines made values "
                "that are no numbers: run `denet verify` on it"
            )
        return embeddings

    def prepare(self, states: Iterable[State]) -> None:
        """Load the engines of `states` now. Otherwise each is loaded when it is first needed.

        Raises:
            BackendError: an engine cannot be loaded.
            BundleError: a file of the bundle is damaged.
        """
        self._refuse_fork()
        self._refuse_damage()
        with self._lock:
            self.composer.load(states)

    def _refuse_damage(self) -> None:
        if self._verification.done():
            self._verification.result()

    def _refuse_fork(self) -> None:
        """Threads of the engines, and of a GPU's driver, are not there in a fork: it would wait for
        them for ever."""
        if os.getpid() != self._process:
            raise BackendError(
                f"{self.bundle.root}: was loaded in process {self._process}, of which this one is "
                "a fork: load it in each process, after the fork"
            )

    def check(
        self, states: Iterable[State] | None = None, samples: int | None = None
    ) -> CanaryReport:
        """Run the bundle's golden inputs, and compare with what PyTorch made of them.

        Args:
            states: in which they are embedded; None for all.
            samples: how many golden inputs; None for all that the bundle has.

        Raises:
            CanaryError: an embedding is not the expected one; names the state.
        """

        def embed(golden: Sequence[Sample]) -> NDArray[np.float32]:
            return self._head(self.parts(golden))  # a NaN is for the report

        report = check_canary(self.bundle, self.variant, embed, states, samples)
        if report.failed:
            raise CanaryError(
                f"{self.bundle.root}: refused: on {self.backend} in {self.variant} the golden "
                f"inputs give wrong embeddings: {report.describe_failures()}"
            )
        return report

    def close(self) -> None:
        """Release the engines."""
        self.composer.close()
