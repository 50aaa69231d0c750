"""Puts the demonstration together: a bundle that ships, a recording that is drawn, people who are
enrolled, and the configuration of the node that runs on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from denet.folders import FOLDERS, folder_of
from denet.graph import Modality
from denet.outputs import check_parent, writing
from runtime.bundle.bundle import Bundle
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.gallery.scores import carried_scores
from runtime.node.demo.recording import RATE, draw_recording
from runtime.node.errors import NodeError
from runtime.node.initial import Answers, node_text
from runtime.runtime import Runtime

BUNDLE = Path(__file__).parent / "demo.denet"
"""A small network, trained on drawn people; its scores are of people that it was not trained on."""

CONFIG = "node.toml"


def make_demonstration(
    folder: Path, port: int, notify: Callable[[int, int], None] = lambda *_: None
) -> Path:
    """Put all of it into a folder that is new or empty.

    Args:
        folder: where.
        port: of the status page; 0 for any that is free.
        notify: told how many frames are drawn, and of how many.

    Returns:
        The configuration, whose paths are those of `folder`.

    Raises:
        NodeError: the folder holds something, or cannot be written.
    """
    with writing(folder, NodeError):
        check_parent(folder, NodeError)
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise NodeError(f"{folder}: is not empty: name a folder that is new")
        names = draw_recording(folder, notify)
        _enrol(folder, names)
        answers = Answers(
            name="demo",
            bundle=str(BUNDLE),
            sources=dict.fromkeys(FOLDERS, f"folder:{folder / 'street'}"),
            rate=RATE,
            loop=True,
            boxes=f"file:{folder / 'boxes.jsonl'}",
            gallery=f"file:{folder / 'gallery.db'}",
            lines=str(folder / "events.jsonl"),
            port=port,
            scores=carried_scores(Bundle.open(BUNDLE)),
        )
        config = folder / CONFIG
        config.write_text(node_text(answers), encoding="utf-8")
    return config


def _enrol(folder: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Have the gallery know who is drawn in `people`, in every state that a camera can be in."""
    with (
        Runtime.load(BUNDLE, "ort-cpu") as runtime,
        open_gallery(str(folder / "gallery.db"), create=True) as gallery,
    ):
        enrolments = []
        for person, pictures in names.items():
            for name in pictures:
                shown: dict[Modality, Path] = {
                    m: folder / "people" / folder_of(m) / f"{name}.jpg" for m in FOLDERS
                }
                for state in runtime.graph.states:
                    seen = {m: shown[m] for m in state.available}
                    enrolments.append(
                        Enrolment(person, state, runtime.embed(seen), source=f"drawn: {name}")
                    )
        gallery.enrol(Space.of(runtime.bundle.manifest), enrolments)
