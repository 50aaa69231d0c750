"""Pages of HTML that need no other file: the one set-up of their templates."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str) -> Environment:
    """The templates of a package. They escape what they show, fail on a name that is not there, and
    have the filter `base64` for the bytes of a picture."""
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment
