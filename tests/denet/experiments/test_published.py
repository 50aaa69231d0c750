"""The published figures against the paper's text, digit by digit, where the text is at hand."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from denet.experiments.published import (
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    Published,
)
from tests.paths import ROOT

TEXT = ROOT.parent / "shared" / "paper" / "denet.txt"

TABLES: dict[str, tuple[Published, ...]] = {
    "I": (TABLE_1,),
    "II": (TABLE_2,),
    "III": (TABLE_3,),
    "IV": (TABLE_4,),
    "V": (TABLE_5,),
    "VI": (TABLE_6,),
    "VII": tuple(TABLE_7.values()),
}
COUNTS = {"I": 48, "II": 28, "III": 24, "IV": 16, "V": 32, "VI": 12, "VII": 36}


def test_every_figure_is_there_and_a_percentage() -> None:
    for number, rows in TABLES.items():
        figures = [f for row in chain(*(r.values() for r in rows)) for f in row.values()]
        assert len(figures) == COUNTS[number]
        assert all(0 < figure < 100 for figure in figures)


@pytest.mark.skipif(not TEXT.is_file(), reason="the paper's text is not here")
@pytest.mark.parametrize("number", TABLES)
def test_rows_are_those_of_the_text(number: str) -> None:
    after = TEXT.read_text().split(f"\nTABLE {number}  \n")[1]
    printed = []
    for line in after.split("\n\n", 2)[1].splitlines():
        cells = re.sub(r"\[\d+\]|<[^>]*>|\*\*", "", line)
        if figures := re.findall(r"\d+\.\d+", cells):
            words = re.sub(r"mAP:|Rank-1:|[\d.\t✓-]+|Single Modality|Ours$", " ", cells)
            printed.append((" ".join(words.split()), [float(f) for f in figures]))
    ours = [(m, list(row.values())) for rows in TABLES[number] for m, row in rows.items()]
    assert [figures for _, figures in ours] == [figures for _, figures in printed]
    if number in ("I", "II", "III", "IV", "VI"):
        for (method, _), (words, _) in zip(ours, printed, strict=True):
            assert method.split(" (")[0].casefold() in words.casefold()
