"""What of the site's pages is read off the program: the references and the messages.

A page says where with a line such as `<!-- generated commands -->`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scripts.site.messages import Message, messages

ROOT = Path(__file__).resolve().parent.parent.parent

GENERATED = re.compile(r"^<!-- generated (\w+) -->$", re.MULTILINE)

AREAS = {
    "cli.py": ("Commands", None),
    "denet/data": ("Data sets", "data.md"),
    "denet/experiments": ("Experiments", "experiments.md"),
    "denet/figures": ("Figures and reports", "evaluation.md"),
    "denet/rivals": ("Rivals", "rivals.md"),
    "denet": ("Recipes, training and evaluation", "training.md"),
    "export/tensorrt": ("Building TensorRT engines", "tensorrt.md"),
    "export/graphs": ("One graph per state", "graphs.md"),
    "export": ("Export", "bundle.md"),
    "calibration": ("Calibration and projection", "calibration.md"),
    "runtime/backends": ("Backends", "tensorrt.md"),
    "runtime/benchmark": ("Benchmarks", "benchmark.md"),
    "runtime/bundle": ("Bundles", "bundle.md"),
    "runtime/fleet": ("Fleet", "fleet.md"),
    "runtime/gallery/postgres": ("Central gallery", "central.md"),
    "runtime/gallery": ("Galleries", "gallery.md"),
    "runtime/node/align": ("Cameras to each other", "align.md"),
    "runtime/node/boxes/detector": ("Detectors", "detector.md"),
    "runtime/node/events": ("Events", "events.md"),
    "runtime/node/recorded": ("Recordings as a whole", "recordings.md"),
    "runtime/node/tracks": ("Tracks", "tracks.md"),
    "runtime/node": ("Camera node", "node.md"),
    "runtime/profile": ("Profiles", "profile.md"),
    "runtime/serve": ("Served bundles", "serving.md"),
    "runtime": ("Running a bundle", "process.md"),
}
"""By the beginning of a module's path: what the messages are about, and the page about that."""


def fill(_app: Any, page: str, source: list[str]) -> None:
    """Put what is generated into the text of a page (Sphinx's event `source-read`)."""
    # The README of the containers has a page of its own in the site.
    up = "../" * page.count("/")
    text = source[0].replace("../docker/README.md", f"{up}containers.md")
    source[0] = GENERATED.sub(lambda found: generated(found[1], up), text)


def generated(what: str, up: str = "") -> str:
    """The Markdown that stands for `<!-- generated WHAT -->`.

    Args:
        what: "commands" or "messages".
        up: from the page to the folder of the documentation.
    """
    if what == "commands":
        from cli import app
        from scripts.site.commands import reference

        return reference(app)
    if what == "messages":
        return message_lists(messages(ROOT), up)
    raise ValueError(f"there is nothing generated that is called {what!r}")


def message_lists(found: list[Message], up: str) -> str:
    """A list of messages for each area, in the order of `AREAS`."""
    areas: dict[str, list[Message]] = {area: [] for area in AREAS}
    for message in found:
        areas[area_of(message.module)].append(message)
    parts: list[str] = []
    for area, mine in areas.items():
        if not mine:
            continue
        title, page = AREAS[area]
        parts += [f"### {title}", "", f"More: [{page}]({up}{page})." if page else "", ""]
        texts = sorted({message.text for message in mine}, key=str.casefold)
        parts += [f"- ``` {_flat(text)} ```" for text in texts]
        parts.append("")
    return "\n".join(parts)


def area_of(module: str) -> str:
    """The most particular area of a module's path."""
    return max((a for a in AREAS if f"{module}/".startswith(f"{a}/") or module == a), key=len)


def _flat(text: str) -> str:
    return " ".join(text.replace("```", "'''").split())
