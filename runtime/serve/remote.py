"""A bundle that a server runs, in the place of one that is loaded here."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denet.graph import Graph, Modality, State
from denet.pixels import Range
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Manifest
from runtime.canary import CanaryReport, check_canary
from runtime.closing import Closing
from runtime.preprocess import Preprocessor, to_pillow
from runtime.runtime import CanaryError, Sample
from runtime.serve.address import ServerAddress, read_server_address
from runtime.serve.answer import read_answer, read_config
from runtime.serve.connection import LARGEST_ANSWER, Connection
from runtime.serve.contract import (
    EMBEDDING,
    MADE_BY,
    ChangedError,
    MadeBy,
    ServeError,
    forms_of,
)
from runtime.serve.wire import MISSING, pack


@dataclass(frozen=True)
class RemoteBundle:
    """What is known of a bundle that a server has: `Bundle` without its files.

    Attributes:
        root: the server's address, for messages.
        manifest: what the bundle says of itself.
        content: the bytes of the manifest.
        graph: of the model's modalities.
    """

    root: str
    manifest: Manifest
    content: bytes
    graph: Graph


class RemoteRuntime(Closing):
    """Embeds samples on a server that `denet serve` wrote the model of: as a `Runtime` does, whose
    attributes it has, but for `parts`, `head` and `prepare`. It may be called from several threads.

    What it asks for is answered by the bundle that it was connected to, or not at all: where the
    server has another one by now, a call raises `ChangedError`, and a new connection has that.

    Attributes:
        address: of the server.
        bundle: that it serves.
        digest: sha256 of that bundle's manifest.
        graph: of the bundle's modalities.
        backend, precision, variant, forms: in which the engines run there.
        reason: why.
        dim: the length of an embedding.
        max_batch: the most samples of one request; longer batches are cut.
        preprocess: the ranges and the size of what is sent.
    """

    def __init__(
        self,
        address: ServerAddress,
        connection: Connection,
        ranges: Mapping[Modality, Range] | None = None,
    ) -> None:
        self.address, self._connection = address, connection
        served = read_config(connection.config(), address.name)
        manifest, content = served.manifest, served.content
        self.bundle = RemoteBundle(address.name, manifest, content, manifest.graph)
        self.graph = self.bundle.graph
        self.dim = manifest.head.dim
        self.max_batch = max(1, min(served.rows, (LARGEST_ANSWER >> 1) // (4 * self.dim)))
        self._processes = served.processes
        self.preprocess = Preprocessor(manifest.preprocessing, ranges)
        # Whether a server is well, only an inference tells: it says that it is ready long after a
        # process has died that embeds. Where there are several, they take turns.
        complete = [self._blank(self.graph.states[0])]
        makers = {self._ask(complete)[1] for _ in range(self._processes)}
        self._made_by = makers.pop()
        self.digest = hashlib.sha256(content).hexdigest()
        if makers or self._made_by.digest != self.digest:
            raise ChangedError(f"{address.name}: serves another bundle than it says: try again")
        found = forms_of(manifest, self._made_by.variant)
        if found is None:
            raise ServeError(
                f"{address.name}: runs in {self._made_by.variant}, which its bundle does not have"
            )
        self.precision, self.forms = found
        self.backend, self.variant = self._made_by.backend, self._made_by.variant
        self.reason = f"what {address.name} runs"

    @classmethod
    def connect(
        cls,
        address: ServerAddress | str,
        *,
        ranges: Mapping[Modality, Range] | None = None,
    ) -> RemoteRuntime:
        """Connect to a server, and see by an inference that it works.

        Args:
            address: of the server, as "grpc://127.0.0.1:8001"; see docs/serving.md.
            ranges: of sensors of more than 8 bits, the values that are black and white; by default
                those of the sensors that the bundle was trained for.

        Raises:
            AwayError: the server cannot be reached, does not answer in time, or fails.
            BundleError: what it says of its bundle is nonsense.
            ServeError: it is no server of a bundle, or answers with nonsense; or gRPC is not
                installed here.
        """
        where = address if isinstance(address, ServerAddress) else read_server_address(address)
        connection = Connection(where)
        try:
            return cls(where, connection, ranges)
        except BaseException:
            connection.close()
            raise

    def embed(self, sample: Sample) -> NDArray[np.float32]:
        """The embedding (dim,) of one sample, L2-normalized. Raises: as `embed_batch`."""
        embedding: NDArray[np.float32] = self.embed_batch([sample])[0]
        return embedding

    def embed_batch(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """The embeddings (N, dim) of N samples, L2-normalized; their states may be mixed.

        Images are made to 8 bits and to the size of the network's input here, as they would be
        there: what is sent is small, and the embeddings are the same.

        Raises:
            AwayError: the server cannot be reached, does not answer in time, or fails.
            ChangedError: it serves another bundle by now, or in another way.
            ImageError: an image cannot be read or is of no known kind.
            ServeError: it answers with nonsense.
            ValueError: a sample has no modality, or an unknown one.
        """
        present = [{m: x for m, x in sample.items() if x is not None} for sample in samples]
        for sample in present:
            self.graph.state(sample)
        embeddings = np.empty((len(samples), self.dim), np.float32)
        for start in range(0, len(samples), self.max_batch):
            chunk = slice(start, start + self.max_batch)
            embeddings[chunk], made_by = self._ask(present[chunk])
            if made_by != self._made_by:
                raise ChangedError(
                    f"{self.address.name}: embeds by {made_by.describe()} now, not by "
                    f"{self._made_by.describe()}: connect again"
                )
        return embeddings

    def check(
        self, states: Iterable[State] | None = None, against: Bundle | None = None
    ) -> CanaryReport | None:
        """See by inferences that the server works, each process of it.

        Args:
            states: in which it is asked; None for all.
            against: a bundle that is here, whose golden inputs are embedded there. Without, blank
                images are, and their answers are only seen to be embeddings.

        Returns:
            How near the golden embeddings are; None without.

        Raises:
            CanaryError: an embedding is not the expected one; names the state.
            ServeError: as `embed_batch`.
        """
        if against is None:
            wanted = self.graph.states if states is None else tuple(states)
            for _ in range(self._processes):
                self.embed_batch([self._blank(state) for state in wanted])
            return None
        if against.content != self.bundle.content:
            raise ServeError(f"{self.address.name}: does not serve {against.root}, but another one")
        reports = [
            check_canary(against, self.variant, self.embed_batch, states)
            for _ in range(self._processes)
        ]
        report = min(reports, key=lambda each: min(each.cosines.values()))
        if report.failed:
            raise CanaryError(
                f"{self.address.name}: the golden inputs of {against.root} give wrong embeddings "
                f"there: {report.describe_failures()}"
            )
        return report

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, samples: Sequence[Mapping[Modality, Any]]) -> tuple[NDArray[np.float32], MadeBy]:
        """The answer for at most `max_batch` samples."""
        messages = self._connection.messages
        request = messages.ModelInferRequest(model_name=self.address.model)
        for output in (EMBEDDING, MADE_BY):
            request.outputs.add(name=output)
        for m in self.graph.modalities:
            tensor = request.inputs.add(name=m, datatype="BYTES")
            tensor.shape.extend((len(samples), 1))
            packed = [self._packed(sample[m], m) if m in sample else MISSING for sample in samples]
            content = b"".join(struct.pack("<I", len(each)) + each for each in packed)
            request.raw_input_contents.append(content)
        response = self._connection.infer(request)
        return read_answer(response, len(samples), self.dim, self.address.name)

    def _packed(self, image: Any, modality: Modality) -> bytes:
        pillow = to_pillow(image, self.preprocess.ranges[modality])
        _, height, width = self.preprocess.shape
        if pillow.size != (width, height):
            pillow = pillow.resize((width, height), Image.Resampling.BILINEAR)
        return pack(pillow, self.address.jpeg)

    def _blank(self, state: State) -> dict[Modality, NDArray[np.uint8]]:
        _, height, width = self.preprocess.shape
        return dict.fromkeys(state.available, np.zeros((height, width), np.uint8))
