"""How losses and numbers are written, in figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How a loss is drawn and written.

    Attributes:
        labelled: as a change of mAP in points, less is worse; else as one minus the mean cosine,
            more is worse.
        budget: as `Effect.loss` counts.
    """

    labelled: bool
    budget: float

    @property
    def limit(self) -> str:
        """The budget in a sentence, with its unit."""
        if self.labelled:
            return f"{self.budget:g} points of mAP"
        return f"a mean cosine of {1 - self.budget:g}"

    def place(self, loss: float) -> float:
        """A loss as it is drawn."""
        return -loss if self.labelled else loss

    def number(self, loss: float) -> str:
        """A loss as it is written beside what is drawn."""
        return signed(-loss) if self.labelled else f"{max(loss, 0):.5f}"

    def lost(self, loss: float) -> str:
        """A loss in a sentence, with its unit."""
        return f"{loss:.2f} points of mAP" if self.labelled else f"{loss:.5f} of the mean cosine"


def signed(value: float, digits: int = 2) -> str:
    """A change with its sign; none for what rounds to zero."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def short(value: float) -> str:
    """A number above zero in three digits or so: 0.019, 1.76, 17.6, 176."""
    digits = next((n for n, least in enumerate((100, 10, 1)) if value >= least), 3)
    return f"{value:.{digits}f}"


def listed(words: Sequence[str]) -> str:
    """Words in a sentence: "a, b and c"; nothing for none."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
