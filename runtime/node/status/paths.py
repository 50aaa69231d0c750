"""What is at each path of the status page."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Protocol

from denet.graph import Modality
from runtime.node.status.snapshot import StatusSnapshot
from runtime.node.status.view import view
from runtime.node.web import NOT_HERE, Answer

ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

PICTURE = re.compile("/(?:([^/]+)/)?([^/]+)[.]jpg")
"""The newest frame of a modality, of a head if that has a name: "/rgb.jpg", "/east/rgb.jpg"."""

PERSON = re.compile("/person/([0-9]{1,18})[.]jpg")
"""A picture of somebody who was seen."""

HEADERS = {  # beside those of the server
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class PageSource(Protocol):
    """What is shown."""

    @property
    def snapshot(self) -> StatusSnapshot | None: ...

    def picture(self, head: str, modality: Modality) -> bytes | None: ...

    def person(self, number: int) -> bytes | None: ...


def shown(source: PageSource, path: str) -> Answer:
    """The page, its script and style, the snapshot, and the pictures of sensors that the node has.

    Args:
        source: what to show.
        path: that was asked for.
    """
    if path in ASSETS:
        name, kind = ASSETS[path]
        return Answer(200, kind, files(__package__).joinpath(name).read_bytes())
    if path == "/snapshot":
        return Answer(200, "application/json", view(source.snapshot))
    if (person := PERSON.fullmatch(path)) is not None:
        found = source.person(int(person[1]))
        return NOT_HERE if found is None else Answer(200, "image/jpeg", found)
    named = PICTURE.fullmatch(path)
    picture = None if named is None else source.picture(named[1] or "", named[2])
    return NOT_HERE if picture is None else Answer(200, "image/jpeg", picture)
