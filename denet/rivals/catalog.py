"""The rivals by name, and what they are called in a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from denet.errors import DenetError
from denet.rivals.cal import CAL
from denet.rivals.circle import Circle
from denet.rivals.ddag import DDAG
from denet.rivals.dmml import DMML
from denet.rivals.hacnn import HACNN
from denet.rivals.hamnet import HAMNet
from denet.rivals.hc_loss import HCLoss
from denet.rivals.mlfn import MLFN
from denet.rivals.mpanet import MPANet
from denet.rivals.osnet import OSNetBranch
from denet.rivals.pfnet import PFNet
from denet.rivals.rival import Rival, Setting, SideBySide


class RivalError(DenetError):
    """A rival that does not exist."""


@dataclass(frozen=True)
class Method:
    """A rival.

    Attributes:
        label: what it is called in the paper's tables.
        build: makes its network.
    """

    label: str
    build: Callable[[Setting], Rival]


METHODS: dict[str, Method] = {
    "mlfn": Method("MLFN", partial(SideBySide, build=MLFN)),
    "hacnn": Method("HACNN", partial(SideBySide, build=HACNN)),
    "osnet": Method("OSNet", partial(SideBySide, build=OSNetBranch)),
    "cal": Method("CAL", partial(SideBySide, build=CAL)),
    "pfnet": Method("PFNet", PFNet),
    "hc": Method("HC loss", HCLoss),
    "ddag": Method("DDAG", DDAG),
    "mpanet": Method("MPANet", MPANet),
    "dmml": Method("DMML", partial(SideBySide, build=DMML)),
    "circle": Method("Circle loss", partial(SideBySide, build=Circle)),
    "hamnet": Method("HAMNet", HAMNet),
}


def method(name: str) -> Method:
    """The rival called `name`.

    Raises:
        RivalError: there is none.
    """
    if name not in METHODS:
        raise RivalError(f"unknown method {name!r}: choose from all, {', '.join(METHODS)}")
    return METHODS[name]
