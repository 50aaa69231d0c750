"""Makes faults at random, and keeps the truth of every frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Union

import msgspec
import numpy as np

from denet.errors import DenetError
from denet.graph import RGB_NIR_TIR, Graph, Modality
from runtime.node.faults.effects import EFFECTS, Effect, Past
from runtime.node.health.verdict import Fault
from runtime.node.sources.frame import Frame, Item

REMEMBERED = 16
"""Frames that a loop may go back to."""


class FaultError(DenetError):
    """Faults that cannot be made as asked."""


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which faults to make, and how often.

    Attributes:
        seed: of all chance; each modality has a stream of its own.
        every: mean number of good frames between two faults of one modality.
        shortest, longest: frames that a fault lasts; its length is drawn evenly on a logarithmic
            scale. What repeats pictures lasts at least 10, or it would be over before it shows.
        kinds: of `EFFECTS`; all of them if empty.
    """

    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    every: Annotated[float, msgspec.Meta(ge=1)] = 250
    shortest: Annotated[int, msgspec.Meta(ge=1)] = 1
    longest: Annotated[int, msgspec.Meta(ge=1)] = 80
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that they can be made.

        Raises:
            FaultError: there is no such kind of fault, or the lengths are the wrong way round.
        """
        unknown = [kind for kind in self.kinds if kind not in EFFECTS]
        if unknown:
            raise FaultError(f"kind of fault {unknown[0]!r}: choose from {', '.join(EFFECTS)}")
        if self.shortest > self.longest:
            raise FaultError(f"shortest fault {self.shortest}, longest {self.longest}: swap them")


@dataclass(frozen=True)
class Truth:
    """What was done to a frame.

    Attributes:
        modality, sequence, time: of the frame as it was.
        kind: of `EFFECTS`; None if it was left as it was.
        since: how many frames the fault had lasted before this one; 0 without a fault.
    """

    modality: Modality
    sequence: int
    time: float
    kind: str | None
    since: int

    @property
    def fault(self) -> Fault | None:
        """What it should be found to be."""
        return None if self.kind is None else EFFECTS[self.kind][0]


class Injector:
    """Passes on the frames of one modality, some of them with a fault."""

    def __init__(
        self, modality: Modality, settings: FaultSettings, graph: Graph = RGB_NIR_TIR
    ) -> None:
        """Make one.

        Args:
            modality: whose stream of chance it uses.
            settings: which faults, and how often.
            graph: that has this modality: its place there numbers the stream.
        """
        self._settings = settings
        self._kinds: Sequence[str] = settings.kinds or tuple(EFFECTS)
        self._chance = np.random.default_rng(
            np.random.SeedSequence(settings.seed, spawn_key=(graph.modalities.index(modality),))
        )
        self._past: deque[Frame] = deque(maxlen=REMEMBERED)
        self._effect: tuple[str, Effect] | None = None
        self._left = 0
        self._since = 0

    def __call__(self, item: Item) -> tuple[Union[Item, None], Truth]:
        """What is seen instead of a frame (None for nothing), and what was done to it.

        A frame that could not be decoded anyway is passed on as it is.
        """
        if not isinstance(item, Frame):
            return item, self._truth(item, None)
        self._turn()
        seen: Item | None = item
        kind = None
        if self._effect is not None:
            kind, effect = self._effect
            seen = effect(item)
        truth = self._truth(item, kind)
        self._past.append(item)
        return seen, truth

    def _truth(self, item: Item, kind: str | None) -> Truth:
        return Truth(item.modality, item.sequence, item.time, kind, self._since if kind else 0)

    def _turn(self) -> None:
        """Begin, go on with or end a fault."""
        if self._effect is not None:
            self._left -= 1
            self._since += 1
            if not self._left:
                self._effect = None
        elif len(self._past) >= 2 and self._chance.random() < 1 / self._settings.every:
            kind = str(self._chance.choice(self._kinds))
            fault, make = EFFECTS[kind]
            shortest, longest = self._settings.shortest, self._settings.longest
            if fault in ("frozen", "looping"):
                shortest, longest = max(shortest, 10), max(longest, 10)
            length = np.exp(self._chance.uniform(np.log(shortest), np.log(longest + 1)))
            self._left, self._since = int(length), 0
            self._effect = kind, make(Past(tuple(self._past)), self._chance)
