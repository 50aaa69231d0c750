"""What the configuration of a node says of one camera head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import force_setattr

from denet.folders import FOLDERS
from denet.graph import Modality
from denet.pixels import Range
from denet.validation import converted, unknown_key
from runtime.node.boxes.settings import BoxSettings
from runtime.node.errors import NodeError
from runtime.node.health import Limits
from runtime.node.sources import SourceSettings, TrackTiming
from runtime.node.tracks.settings import TrackSettings

T = TypeVar("T")

MODALITIES = tuple(FOLDERS)
"""What a sensor may be called, in their order; which of them a node can have, its bundle says."""

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Of a node or a head: they stand in topics, addresses and metrics."""


class HeadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sensors that look the same way, and what is made of their frames.

    Attributes:
        name: of the head, in events and accounts; "" of the one head of a node without `[[heads]]`.
        sources: where the frames of each modality come from, in the order of `MODALITIES`; at
            least one.
        timing: how frames are matched.
        health: thresholds of each modality, where others than the usual ones hold.
        boxes: where persons are.
        tracks: how people are followed; None not to.
    """

    name: str = ""
    sources: dict[Modality, SourceSettings] = {}
    timing: TrackTiming = TrackTiming()
    health: dict[Modality, Limits] = {}
    boxes: BoxSettings = BoxSettings()
    tracks: TrackSettings | None = None

    def __post_init__(self) -> None:
        """See that the sections go together.

        Raises:
            NodeError: they do not; names the keys.
        """
        force_setattr(self, "sources", ordered(self.key("sources"), self.sources))
        force_setattr(self, "health", ordered(self.key("health"), self.health))
        if not self.sources:
            table = "heads.sources" if self.name else "sources"
            raise NodeError(
                f"{self.key('sources')}: none is given: write [{table}.{MODALITIES[0]}] with a url"
            )
        for m in self.health:
            if m not in self.sources:
                raise NodeError(f"{self.key('health')}.{m}: there is no [sources.{m}]")
            if self.health[m].range16 != Limits().range16:
                raise NodeError(
                    f"{self.key('health')}.{m}.range16: write sources.{m}.range: it holds for what "
                    "embeds, too"
                )
        if len(finders := self.boxes.finders) > 1:
            raise NodeError(
                f"{self.key('boxes')}: {' and '.join(finders)} exclude each other: keep one"
            )

    def key(self, section: str) -> str:
        """A section of this head, for messages: "boxes", or "heads.east.boxes"."""
        return f"heads.{self.name}.{section}" if self.name else section

    @property
    def ranges(self) -> dict[Modality, Range]:
        """The values of black and white of each source that says them."""
        return {m: s.range for m, s in self.sources.items() if s.range is not None}


def ordered(section: str, tables: Mapping[str, T]) -> dict[Modality, T]:
    """The tables of a section in the order of their modalities.

    Raises:
        NodeError: one is not of a modality.
    """
    for name in tables:
        if name not in MODALITIES:
            raise NodeError(unknown_key(name, f"[{section}]", f": {', '.join(MODALITIES)}"))
    return {m: tables[m] for m in MODALITIES if m in tables}


def sections_converted(document: dict[str, Any], place: str) -> dict[str, Any]:
    """A document in which sources and thresholds are settings: one by one, for what is wrong with
    one to be told with its name.

    Args:
        document: with the sections of a head.
        place: of it, for messages; "" of a whole configuration.

    Raises:
        NodeError: one is none.
    """
    found = dict(document)
    for section, kind in (("sources", SourceSettings), ("health", Limits)):
        tables = found.get(section)
        if isinstance(tables, dict):
            key = f"{place}.{section}".lstrip(".")
            found[section] = {
                m: converted(table, kind, f"{key}.{m}", NodeError)
                for m, table in ordered(key, tables).items()
            }
    return found


def head_converted(table: Any, number: int, node: Mapping[str, Any]) -> Any:
    """A table of `[[heads]]` as settings. What it does not say is as the node's own sections say:
    of `timing`, `tracks` and the thresholds of its modalities each key, of `boxes` all.

    Args:
        table: as it stands.
        number: of it, from 0.
        node: the document that it is in.

    Raises:
        NodeError: it is none; names it.
    """
    if not isinstance(table, dict):
        return table  # which msgspec refuses
    name = table.get("name")
    place = f"heads.{name}" if isinstance(name, str) and name else f"heads[{number}]"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise NodeError(f"{place}.name: {name!r}: take letters, digits, and then also . _ -")
    given = dict(table)
    for section in ("timing", "tracks"):
        if section in node or section in given:
            given[section] = _merged(node.get(section), given.get(section))
    if "boxes" in node:
        given.setdefault("boxes", node["boxes"])
    health, sources = node.get("health"), given.get("sources")
    if isinstance(health, dict) and isinstance(sources, dict):
        own = given.get("health", {})
        if isinstance(own, dict):
            usual = {m: table for m, table in health.items() if m in sources}
            given["health"] = {m: _merged(usual.get(m), own.get(m)) for m in {**usual, **own}}
    try:
        return converted(sections_converted(given, place), HeadSettings, place, NodeError)
    except NodeError as error:  # what a head itself says has its name already
        text = str(error).removeprefix(f"{place}: ")
        raise (NodeError(text) if text.startswith(f"{place}.") else error) from None


def _merged(usual: Any, own: Any) -> Any:
    """A table with what another has beside it."""
    if own is None:
        return usual
    return {**usual, **own} if isinstance(usual, dict) and isinstance(own, dict) else own
