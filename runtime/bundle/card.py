"""The model card of a bundle: what it is for, what it was trained on, how well it did where.

What people have to say comes from a file of TOML that they write; the rest is measured or known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from denet.errors import DenetError
from denet.provenance import Name, Number, Provenance
from denet.reading import read_toml, reading

Text = Annotated[str, msgspec.Meta(max_length=4000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]
"""A few lines that a terminal can show."""

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class CardError(DenetError):
    """A model card that cannot be read; the message names the file and the key."""


class CardText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What nobody can measure: the keys of a card's TOML file, each of which may be left out.

    Attributes:
        name: of the model.
        description: what it is.
        intended_use: what it was made for, and what not.
        limits: what is known not to work.
        licence: of the weights, and of the data where they carry one.
        authors: who made it.
        contact: whom to ask.
    """

    name: Name = ""
    description: Text = ""
    intended_use: Text = ""
    limits: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = ()
    licence: Name = ""
    authors: Name = ""
    contact: Name = ""


class CardAccuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accuracy on a test split, which no training has seen.

    Attributes:
        data: the name of the data set's folder.
        layout: of the data set.
        queries: samples that are searched with.
        gallery: samples that are searched in.
        identities: in the gallery.
        cameras: in the gallery.
        precision: that was measured.
        states: mAP and R1 of each missing state, in per cent.
        projection: digest of the projection that its embeddings had; empty for none.
    """

    data: Name
    layout: Name
    queries: Number
    gallery: Number
    identities: Number
    cameras: Number
    precision: Name
    states: dict[Name, tuple[Percent, Percent]]
    projection: Name = ""


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle tells of its model beside what is needed to run it."""

    text: CardText = CardText()
    training: Provenance | None = None
    tested: CardAccuracy | None = None

    def limits(self) -> list[str]:
        """Those that are written down, and what is not known."""
        found = list(self.text.limits)
        if self.training is None:
            found.append("what it was trained on is not known")
        if self.tested is None:
            found.append("its accuracy was not measured when it was exported")
        if not self.text.licence:
            found.append("no licence of its weights is named: ask before you pass them on")
        return found

    def rows(self) -> list[tuple[str, str]]:
        """The card for a person, without the accuracy in each state: labels and texts."""
        text, tested = self.text, self.tested
        written = [
            ("name", text.name),
            ("what it is", text.description),
            ("intended use", text.intended_use),
            ("licence", text.licence),
            ("authors", text.authors),
            ("contact", text.contact),
        ]
        rows = [(label, said) for label, said in written if said]
        if self.training is not None:
            rows += self.training.rows()
        if tested is not None:
            accuracy = ", ".join(f"{name} {map_:.1f}" for name, (map_, _) in tested.states.items())
            where = (
                f"the test split of {tested.data} ({tested.layout}): {tested.queries} queries, "
                f"a gallery of {tested.gallery}, {tested.identities} identities, "
                f"{tested.cameras} cameras"
            )
            rows += [("tested on", where), (f"mAP, %, in {tested.precision}", accuracy)]
        return [*rows, ("limits", "; ".join(self.limits()) or "none is named")]


def read_card(path: Path) -> CardText:
    """What a card's TOML file says.

    Raises:
        CardError: it cannot be read, or has a key that is unknown or wrong.
    """
    document = read_toml(path, CardError)
    with reading(path, CardError, "not a model card"):
        return msgspec.convert(document, CardText)
