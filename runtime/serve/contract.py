"""What a server of a bundle and its clients agree on: tensors, metadata, and errors.

A request has one tensor for each modality of the bundle, BYTES (B, 1): an image (`wire`), or
nothing where the modality is missing. None of them is optional, for Triton puts only requests of
the same tensors into one batch, and samples of mixed states are to share one. The answer has
`embedding`, FP32 (B, dim), and for each row by what it was made, so that a client sees an exchange
of the bundle in the first answer after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from denet.errors import DenetError
from runtime.bundle.forms import PLATFORMS, PRECISIONS, Forms, Precision, variant
from runtime.bundle.manifest import Manifest

CONTRACT = "1"
"""The version of all this; a client and a server of others refuse each other."""

MODEL = "denet"
"""What the model is called in a repository, where nobody says otherwise."""

EMBEDDING = "embedding"
MADE_BY = "made_by"

CONTRACT_KEY, MANIFEST_KEY, DIGEST_KEY = "contract", "manifest", "bundle"
"""Parameters in a model's configuration: the version, the bundle's manifest, its sha256."""

MOST_PROCESSES = 64
"""That embed behind one model."""

_MADE_BY = re.compile(rb"([0-9a-f]{64}) ([a-z0-9-]{1,32}) ([a-z0-9-]{1,32})")

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ServeError(DenetError):
    """A server, its answer, or a repository that cannot be used; the message names it."""


class AwayError(ServeError):
    """A server that cannot be reached, or did not answer in time; a later try may be better."""


class ChangedError(ServeError):
    """A server that serves another bundle, or in another way, than when the client connected."""


@dataclass(frozen=True)
class MadeBy:
    """What made an embedding.

    Attributes:
        digest: sha256 of the bundle's manifest.
        backend: that ran the engines.
        variant: their precision, with what INT8 was made for: "int8-vnni".
    """

    digest: str
    backend: str
    variant: str

    def encode(self) -> bytes:
        """For an answer."""
        return f"{self.digest} {self.backend} {self.variant}".encode()

    def describe(self) -> str:
        """For a person."""
        return f"bundle {self.digest[:12]} on {self.backend} in {self.variant}"


def read_made_by(text: bytes) -> MadeBy | None:
    """What `MadeBy.encode` wrote; None if it is nothing of the kind."""
    found = _MADE_BY.fullmatch(text)
    return None if found is None else MadeBy(*(part.decode() for part in found.groups()))


def is_model_name(name: str) -> bool:
    """Whether a model of a repository can be called so: it is a folder, and a part of an URL."""
    return _NAME.fullmatch(name) is not None


def forms_of(manifest: Manifest, wanted: str) -> tuple[Precision, Forms] | None:
    """The precision, and the form of each engine, in a variant; None where it has none such."""
    for precision in PRECISIONS:
        for platform in PLATFORMS:
            forms = manifest.forms(precision, platform)
            if variant(precision, platform) == wanted and forms is not None:
                return precision, forms
    return None
