"""What two embeddings must share to be compared."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DenetError
from runtime.bundle.manifest import Manifest


class GalleryError(DenetError):
    """A gallery that cannot do what is asked; the message names the file or value and the reason.

    Nothing was written.
    """


@dataclass(frozen=True)
class Space:
    """Where embeddings can be compared: one model, one projection. Precision and backend do not
    count: a calibration keeps those close.

    Attributes:
        dim: numbers of an embedding.
        checkpoint: sha256 of the checkpoint that the bundle was made of.
        projection: sha256 of what projects the bundle's embeddings; empty where nothing does.
    """

    dim: int
    checkpoint: str
    projection: str

    @classmethod
    def of(cls, manifest: Manifest) -> Space:
        """That of a bundle."""
        return cls(manifest.head.dim, manifest.checkpoint_sha256, manifest.projection_digest)

    def describe(self) -> str:
        """For a person: "512 numbers of checkpoint 0123456789ab, projection 0123456789ab"."""
        projection = f"projection {self.projection[:12]}" if self.projection else "not projected"
        return f"{self.dim} numbers of checkpoint {self.checkpoint[:12]}, {projection}"

    def require(self, other: Space, what: str) -> None:
        """See that the embeddings of `other` can be compared with those of this space.

        Args:
            other: of the embeddings that are given.
            what: holds this space: the name of a file.

        Raises:
            GalleryError: they cannot; says in what they differ.
        """
        for differs, reason in (
            (self.checkpoint != other.checkpoint, "another model"),
            (self.dim != other.dim, "another length"),
            (self.projection != other.projection, "another projection"),
        ):
            if differs:
                raise GalleryError(
                    f"{what}: cannot be compared: {reason}: it holds {self.describe()}; these "
                    f"embeddings are {other.describe()}"
                )
