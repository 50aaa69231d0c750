"""The model card of a bundle, with what its calibration adds to it."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from runtime.bundle.manifest import File, Manifest


def card_facts(manifest: Manifest) -> dict[str, Any]:
    """The card as plain data: what is written, measured and known, and all limits."""
    card = manifest.model_card
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(card))  # lists, not tuples
    return facts | {"limits": card.limits(), "calibrated": dict(calibration_rows(manifest))}


def card_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """The card in rows of a label and a text, its limits last."""
    *rows, limits = manifest.model_card.rows()
    tested = manifest.model_card.tested
    if tested is not None and tested.projection != manifest.projection_digest:
        rows.append(("", "this was measured before its embeddings were projected"))
    return [*rows, *calibration_rows(manifest), limits]


def calibration_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What the calibration and the scores say of themselves: labels and texts."""
    rows: list[tuple[str, str]] = []
    calibration = manifest.calibration
    if calibration is not None:
        rows.append(
            (
                "calibrated on",
                f"{calibration.samples} samples of {calibration.data}, judged on "
                f"{calibration.judged} others of it",
            )
        )
    for name in manifest.variants:
        maps = manifest.maps(name)
        if maps and name != "fp32":
            before = manifest.maps("fp32")
            worst = min(maps, key=lambda state: maps[state] - before.get(state, maps[state]))
            change = maps[worst] - before.get(worst, maps[worst])
            rows.append(
                (
                    f"mAP in {name}",
                    f"{change:+.1f} points against fp32 in {worst}, its worst state, on the "
                    "calibration's own identities",
                )
            )
    carried = isinstance(manifest.scores, File)
    scores = "carried by the bundle" if carried else "none: `denet gallery calibrate` finds them"
    return [*rows, ("false-match rates", scores)]


def card_table(manifest: Manifest) -> Table:
    """The card as a table of two columns."""
    table = Table(
        title="Model card", title_justify="left", show_header=False, box=None, padding=(0, 1)
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in card_rows(manifest):
        table.add_row(label, Text(text))
    return table
