"""What a configuration is to be written from: options, and questions for what they do not say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from denet.graph import Modality
from denet.outputs import check_parent, writing
from runtime.bundle.bundle import Bundle
from runtime.gallery.scores import carried_scores
from runtime.node.errors import NodeError
from runtime.node.initial import BOXES, Answers, node_text

Ask = Callable[[str, str], str]
"""A question and what an empty answer stands for -> the answer."""


@dataclass(frozen=True)
class Given:
    """What the options of `denet node init` say; None where they say nothing.

    Attributes:
        name: of the node.
        bundle: that embeds.
        sources: each as "rgb=URL", or "HEAD/rgb=URL".
        heads: names of several heads; none where there is one without a name.
        rate: frames a second of recorded folders.
        boxes: how persons are found.
        gallery: whom the node knows.
        threshold: the least cosine of a match.
        loop: whether recordings begin again at their end.
        port: of the status page.
    """

    name: str
    bundle: Path | None = None
    sources: Sequence[str] = ()
    heads: Sequence[str] = ()
    rate: float | None = None
    boxes: str | None = None
    gallery: str | None = None
    threshold: float | None = None
    loop: bool = False
    port: int = 8321


def on_terminal() -> Ask | None:
    """Asks a person; None where there is none."""
    if not sys.stdin.isatty():
        return None

    def ask(question: str, usual: str) -> str:
        return str(typer.prompt(question, default=usual, show_default=bool(usual)))

    return ask


def begin(config: Path, given: Given, ask: Ask | None) -> list[str]:
    """Write a configuration that is new.

    Args:
        config: the file.
        given: what is known.
        ask: for what is not; None to refuse instead.

    Returns:
        For a person: what was written, and what to do next.

    Raises:
        BundleError: the bundle cannot be read.
        NodeError: the file is there already, an answer is missing, or is none.
    """
    if config.exists():
        raise NodeError(f"{config}: exists: name another file, or remove it")
    with writing(config, NodeError):
        check_parent(config, NodeError)
    text = node_text(_answers(given, ask))
    with writing(config, NodeError), config.open("x", encoding="utf-8") as file:
        file.write(text)
    return [f"{config}: written", f"next: denet node check {config}"]


def _answers(given: Given, ask: Ask | None) -> Answers:
    path = given.bundle or Path(_asked(ask, "--bundle", "The bundle's folder", "model.denet"))
    bundle = Bundle.open(path)
    heads = _by_head(given, bundle.graph.modalities, ask)
    urls = [url for sources in heads.values() for url in sources.values()]
    rate = given.rate
    if rate is None and any(url.startswith("folder:") for url in urls):
        rate = _number(_asked(ask, "--rate", "Frames a second of the folder", "10"))
    boxes = given.boxes
    if boxes is None:
        boxes = _asked(ask, "--boxes", f"How are persons found ({', '.join(BOXES)})?", "motion")
    gallery, threshold = given.gallery, given.threshold
    if gallery is None and ask is not None:
        gallery = ask("Gallery of people that it knows (empty for none)", "") or None
    scores = carried_scores(bundle)
    if gallery is not None and threshold is None and scores is None and ask is not None:
        threshold = _number(
            ask("The bundle carries no scores: the least cosine of a match, set on purpose", "0.9")
        )
    return Answers(
        name=given.name,
        bundle=str(path),
        sources=heads.get("", {}),
        heads={name: sources for name, sources in heads.items() if name},
        rate=rate,
        loop=given.loop,
        boxes=boxes,
        gallery=gallery,
        threshold=threshold,
        port=given.port,
        scores=scores,
    )


def _by_head(
    given: Given, known: Sequence[Modality], ask: Ask | None
) -> dict[str, dict[Modality, str]]:
    """The sources of each head; that of one without a name is ""."""
    names = list(given.heads)
    if twice := [name for name in names if names.count(name) > 1]:
        raise NodeError(f"--heads: two are called {twice[0]}: give each its own name")
    texts: dict[str, list[str]] = {name: [] for name in names or [""]}
    for text in given.sources:
        before, _, _ = text.partition("=")
        head, slash, _ = before.rpartition("/")
        if head not in texts or bool(slash) != bool(names):
            how = f"HEAD/{known[0]}=URL, with a HEAD of --heads" if names else f"{known[0]}=URL"
            raise NodeError(f"--source {text}: write {how}")
        texts[head].append(text)
    return {head: _sources(mine, head, known, ask) for head, mine in texts.items()}


def _sources(
    given: Sequence[str], head: str, known: Sequence[Modality], ask: Ask | None
) -> dict[Modality, str]:
    found: dict[Modality, str] = {}
    for text in given:
        before, equals, url = text.partition("=")
        modality = before.rpartition("/")[2]
        if not (equals and url) or modality not in known:
            raise NodeError(f"--source {text}: write one of {', '.join(known)}, = and a url")
        found[modality] = url
    whose = f" of {head}" if head else ""
    if not found and ask is not None:
        for m in known:
            asked = f"Source of {m}{whose}, as rtsp://... or folder:PATH (empty for none)"
            if url := ask(asked, ""):
                found[m] = url
    if not found:
        example, missing = (f"{head}/{known[0]}", f" for {head}") if head else (known[0], "")
        raise NodeError(
            f"--source: is missing{missing}: give one at least, as --source {example}=URL"
        )
    return {m: found[m] for m in known if m in found}


def _asked(ask: Ask | None, option: str, question: str, usual: str) -> str:
    if ask is None:
        raise NodeError(f"{option}: is missing, and there is no terminal to ask on")
    return ask(question, usual)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NodeError(f"{text[:40]!r}: is no number") from None
