"""What is read beside a bundle: the card that a person writes, and graphs that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.running import Reader, in_file

CARD = b"""
name = "Gate 3"
description = "People at a gate."
limits = ["no children", "no rain"]
licence = "CC BY 4.0"
"""

ENGINE = "ab" * 32


def card(_: Path, folder: Path) -> Reader:
    from runtime.bundle.card import read_card

    path = folder / "card.toml"
    return Reader("model card", (CARD,), in_file(path), lambda: read_card(path), None)


def graph(_: Path, folder: Path) -> Reader:
    """Of a graph that is damaged nothing is taken: the engine is optimized anew."""
    from runtime.backends.base import BackendError
    from runtime.backends.onnxruntime.graph_cache import GraphCache

    whole = b"a graph" * 500
    cache = GraphCache(folder / "graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        cache.keep(ENGINE, whole)
    (path,) = (folder / "graphs").iterdir()
    content = path.read_bytes()

    def use() -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(folder / "state"))
            found = cache.find(ENGINE)
        if found is None:
            raise BackendError(f"{path}: is not taken")
        return found

    return Reader("optimized graph", (content,), in_file(path), use, lambda found: found == whole)
