"""What a checkpoint tells of its training: a part of the model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

import msgspec

Name = Annotated[str, msgspec.Meta(max_length=4000, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text that a terminal can show."""

Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where weights come from. It names no path of the machine that trained.

    Attributes:
        data: the name of the data set's folder.
        layout: of the data set, such as "RGBNT201".
        digest: sha256 of names, identities and cameras of its training samples.
        identities: that the network learned to tell apart.
        samples: that it was trained on.
        epochs: that are finished.
        weights: what its branches started from, in words.
        recipe: the tables of the recipe, as plain data.
    """

    data: Name
    layout: Name
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    identities: Number
    samples: Number
    epochs: Number
    weights: Name
    recipe: dict[str, dict[str, Any]]

    def rows(self) -> list[tuple[str, str]]:
        """What it says, for a person: a label and a text in each row."""
        train = self.recipe.get("train", {})
        names = ("optimizer", "lr", "identities", "instances", "seed")
        recipe = ", ".join(f"{name} {train[name]}" for name in names if name in train)
        return [
            ("trained on", f"{self.data} ({self.layout}): {self.samples} samples of "
             f"{self.identities} identities, {self.epochs} epochs"),
            ("started from", self.weights),
            *([("recipe", recipe)] if recipe else []),
        ]  # fmt: skip


def provenance_of(
    folder: str,
    layout: str,
    digest: str,
    recipe: Mapping[str, Mapping[str, Any]],
    *,
    identities: int,
    samples: int,
) -> Provenance:
    """That of a training that has not finished an epoch.

    Args:
        folder: the name of the data set's.
        layout: of the data set.
        digest: of its training samples.
        recipe: as plain data.
        identities: that are learned.
        samples: that are trained on.
    """
    tables = {name: dict(table) for name, table in recipe.items()}
    pretrained = tables["train"]["pretrained"]
    if isinstance(pretrained, str):
        tables["train"]["pretrained"] = pretrained = as_name(PurePath(pretrained).name)
    return Provenance(
        data=as_name(folder),
        layout=as_name(layout),
        digest=digest,
        identities=identities,
        samples=samples,
        epochs=0,
        weights=_started_from(pretrained),
        recipe=tables,
    )


def as_name(text: str) -> str:
    """A name of a file as a `Name`: "?" for what no terminal shows, or no text in UTF-8 has."""
    plain = text.encode("utf-8", "replace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", "?", plain)[:255]


def _started_from(pretrained: bool | str) -> str:
    if pretrained is False:
        return "random weights"
    if pretrained is True:
        return "ImageNet weights of the library that has the backbone"
    if pretrained == "package":
        return "ImageNet weights of an installed package"
    return f"the weights of {pretrained}"
