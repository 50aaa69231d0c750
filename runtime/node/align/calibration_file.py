"""The calibration file that `boxes.calibration` names, as `denet node align` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from denet.graph import Modality
from denet.marks import OutputKind
from denet.reading import read_text
from runtime.node.align.aligned import Aligned
from runtime.node.boxes.homography import View, read_views
from runtime.node.errors import NodeError

MARK = "# Cameras to each other, made by `denet node align`."


def calibration_text(views: Mapping[Modality, View], found: Mapping[Modality, Aligned]) -> str:
    """The file in TOML.

    Args:
        views: of all cameras.
        found: how well the points agreed with each.
    """
    parts = [f"{MARK}\n"]
    for m, view in views.items():
        width, height = view.size
        lines = [f"[{m}]", f"size = [{width}, {height}]"]
        if view.homography is not None:
            rows = ", ".join(f"[{', '.join(map(repr, row))}]" for row in view.homography)
            lines.insert(0, f"# {found[m].lines()[0]}")
            lines.append(f"homography = [{rows}]")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _is_own(path: Path) -> bool:
    return read_text(path, NodeError).startswith(MARK) and bool(read_views(path))


CALIBRATION = OutputKind(
    ".toml", "a calibration of cameras is", "a calibration that `denet node align` wrote", _is_own
)
