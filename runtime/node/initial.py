"""Writes the configuration of a node from a few answers, with what each line is for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from denet.graph import Modality
from runtime.gallery import Scores
from runtime.node.errors import NodeError
from runtime.node.scoring import USUAL_RATE
from runtime.node.settings import NodeSettings, convert
from runtime.node.tracks.likeness import USUAL_RATE as RATE_OF_TRACKS

BOXES = ("crops", "motion", "detector:MODEL", "file:LINES", "call:MODULE:FUNCTION")
"""What can be said of how persons are found."""


@dataclass(frozen=True)
class Answers:
    """What a configuration is written from.

    Attributes:
        name: of the node.
        bundle: its path.
        sources: the url of each modality; of no head.
        heads: the same of each head by its name, where there are several.
        rate: frames a second of recorded folders.
        loop: whether recordings begin again at their end.
        boxes: one of `BOXES`.
        gallery: its file or url; None without.
        threshold: a cosine, set on purpose, in the place of scores; None for those.
        lines: the file of events; None without.
        port: of the status page; None without.
        scores: that the bundle carries.
    """

    name: str
    bundle: str
    sources: Mapping[Modality, str] = field(default_factory=dict)
    heads: Mapping[str, Mapping[Modality, str]] = field(default_factory=dict)
    rate: float | None = None
    loop: bool = False
    boxes: str = "crops"
    gallery: str | None = None
    threshold: float | None = None
    lines: str | None = "events.jsonl"
    port: int | None = 8321
    scores: Scores | None = field(default=None, repr=False)


def node_text(answers: Answers) -> str:
    """The configuration, in TOML with comments.

    Raises:
        NodeError: an answer is none; names it.
    """
    parts = [
        _HEAD.format(name=_text(answers.name), bundle=_text(answers.bundle)),
        *(_source(m, url, answers) for m, url in answers.sources.items()),
        *(_head(name, sources, answers) for name, sources in answers.heads.items()),
        _boxes(answers.boxes),
        "" if answers.boxes == "crops" else _tracks(answers),
        "" if answers.gallery is None else _gallery(answers.gallery, answers),
        _BATCHES,
        "" if answers.lines is None else _LINES.format(path=_text(answers.lines)),
        "" if answers.port is None else _STATUS.format(port=answers.port),
        _MORE,
    ]
    text = "\n".join(part for part in parts if part)
    read_text(text)
    return text


def read_text(text: str) -> NodeSettings:
    """The settings of a configuration. Raises: NodeError: it is none."""
    return convert(msgspec.toml.decode(text))


_HEAD = """\
# A camera node. `denet node check FILE` tries all of it, `denet node run FILE` runs it.
# Relative paths are relative to the folder in which the node is started.

# In events and topics.
name = {name}

# What replaces the bundle at its path takes over without a stop.
[model]
bundle = {bundle}
"""

_SOURCE = """\
[{table}sources.{m}]                       # folder:, file:, rtsp://, v4l2: or gst:
url = {url}
{more}"""

_SEVERAL = """\
# Each head has sources of its own. What of timing, health, boxes and tracks it does not say, as in
# [heads.boxes], is as the sections below say.
"""

_BATCHES = """\
[batches]
deadline = 0.1                      # seconds after the capture; a crop waits for others until then
"""

_LINES = """\
[events.lines]                      # an event a line; see docs/events.md, for MQTT, too
path = {path}
"""

_STATUS = """\
[status]                            # a page for a person, on this machine alone
port = {port}
"""

_MORE = """\
# More: [timing], [health.rgb], [events.mqtt], [metrics]; see docs/node.md and docs/node.toml.
"""


def _source(modality: Modality, url: str, answers: Answers, table: str = "") -> str:
    more = ""
    if url.startswith("folder:"):
        if answers.rate is None:
            raise NodeError(f"{table}sources.{modality}: {url}: a folder has no pace: give --rate")
        more = f"rate = {answers.rate:g}                           # frames a second\n"
    if answers.loop and url.startswith(("folder:", "file:")):
        more += "loop = true                         # begin again at the end\n"
    return _SOURCE.format(table=table, m=modality, url=_text(url), more=more)


def _head(name: str, sources: Mapping[Modality, str], answers: Answers) -> str:
    first = _SEVERAL if name == next(iter(answers.heads)) else ""
    tables = [_source(m, url, answers, "heads.") for m, url in sources.items()]
    return "\n".join([f"{first}[[heads]]\nname = {_text(name)}\n", *tables])


def _boxes(boxes: str) -> str:
    if boxes == "crops":
        return "# Without [boxes] each frame is the crop of one person.\n"
    kind, _, rest = boxes.partition(":")
    if boxes == "motion":
        return (
            "[boxes.motion]                      # persons are what moves before fixed cameras\n"
            "learning = 2.0                      # seconds in which the background is learned\n"
        )
    if not rest or kind not in ("detector", "file", "call"):
        raise NodeError(f"boxes: {boxes!r}: say one of {', '.join(BOXES)}")
    if kind == "detector":
        return (
            "[boxes.detector]                    # see docs/detector.md\n"
            f"model = {_text(rest)}\n"
            "score = 0.3                         # of a detection, at least\n"
        )
    what = "A line of boxes for each frame." if kind == "file" else "A function of your own."
    return f"# {what}\n[boxes]\n{kind} = {_text(rest)}\n"


def _tracks(answers: Answers) -> str:
    text = (
        "[tracks]                            # people are followed and told as tracks\n"
        "every = 2.0                         # seconds; then 4, 6, ... between embeddings of one\n"
    )
    if answers.scores is None:
        return text + "# threshold = 0.9                   # cosine of one person who returns\n"
    rate = _rate(RATE_OF_TRACKS, answers.scores)
    return f"{text}fmr = {rate:g}                          # of one person who returns\n"


def _gallery(url: str, answers: Answers) -> str:
    text = f"[gallery]                           # whom the node knows\nurl = {_text(url)}\n"
    if answers.threshold is not None:
        return (
            f"{text}threshold = {answers.threshold:g}                     "
            "# cosine, which means another thing in each state\n"
        )
    if answers.scores is None:
        raise NodeError(
            f"gallery: {answers.bundle} carries no scores, so nothing says how alike strangers "
            "are: have it carry them (`denet gallery calibrate BUNDLE DATA`), or set a cosine on "
            "purpose (--threshold)"
        )
    rate = _rate(USUAL_RATE, answers.scores)
    return (
        f"{text}fmr = {rate:g}                         # strangers that pass, of each comparison\n"
    )


def _rate(usual: float, scores: Scores) -> float:
    """The usual false-match rate, or the least that the scores can tell, rounded up."""
    if scores.least_rate <= usual:
        return usual
    digits = 1 - math.floor(math.log10(scores.least_rate))
    step = 10.0**-digits
    return min(1.0, round(math.ceil(scores.least_rate / step) * step, digits))


def _text(value: str) -> str:
    """A text in TOML: what JSON writes of it is one, too."""
    return json.dumps(value, ensure_ascii=False)
