"""The tables of a report, and its lines."""

from __future__ import annotations

import msgspec
from rich.console import Console

from runtime.benchmark.assemble import noise_notes
from runtime.benchmark.sheet import Sheet, percent, short
from runtime.benchmark.summary import summary
from runtime.benchmark.tables import sheets
from tests.runtime.benchmark.reports import a_report, a_state, a_variant, against


def test_numbers_have_three_digits_or_so() -> None:
    assert [short(x) for x in (0.0194, 1.756, 17.56, 175.6)] == ["0.019", "1.76", "17.6", "176"]
    assert [percent(x) for x in (0.004, 0.093, 0.231)] == ["0.4", "9.3", "23"]


def lines_of(sheet: Sheet, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(sheet.for_terminal())
    return console.export_text().splitlines()


def test_every_table_has_a_cell_for_each_head_and_fits_a_terminal() -> None:
    found = sheets(a_report())
    assert len(found) == 18  # nine of each variant
    for sheet in found:
        assert {len(row) for row in sheet.rows} == {len(sheet.heads)}, sheet.title
        text = "\n".join(lines_of(sheet))
        assert "…" not in text, f"{sheet.title} is too wide:\n{text}"
        assert all(cell in text for row in sheet.rows for cell in row)


def test_what_a_state_takes_stands_beside_what_it_gives() -> None:
    report = a_report()
    for name, variant in report.variants.items():
        for number, (state, cost) in enumerate(variant.states.items()):
            known = None if number == 6 else 70.04 - number - 0.2 * (name != "ort-cpu fp32")
            variant.states[state] = msgspec.structs.replace(cost, map=known)
    first = sheets(report)[0]
    assert first.heads == ["state", "fp32 ms", "mAP %", "int8-vnni ms", "mAP %"]
    assert first.rows[0] == ["rgb+nir+tir", "60.0", "70.0", "24.0", "69.8"]
    assert first.rows[6] == ["tir", "20.0", "-", "8.00", "-"]
    assert all(len(line) <= 80 for line in lines_of(first))


def test_a_table_of_states_says_what_they_cost() -> None:
    first = sheets(a_report())[0]
    row = dict(zip(first.heads, first.rows[0], strict=True))
    assert row["state"] == "rgb+nir+tir"
    assert (row["p50"], row["p99"], row["max"]) == ("60.0", "84.0", "120")
    assert (row["spread %"], row["outside %"]) == ("2.0", "5.0")
    assert not first.bad
    assert sheets(a_report(spread=0.2))[0].bad == frozenset(range(7))


def test_a_ratio_that_says_nothing_is_marked() -> None:
    report = a_report()
    variant = report.variants["ort-cpu int8-vnni"]
    unsure = msgspec.structs.replace(against(1.0), verdict="too noisy to say")
    variant.states["rgb"] = msgspec.structs.replace(variant.states["rgb"], against_first=unsure)
    row = next(r for g in sheets(report)[9:] for r in g.rows if r[0] == "rgb")
    assert row[-1] == "?1.000"


def test_what_is_too_noisy_is_named_and_the_worst_first() -> None:
    assert noise_notes({"v": a_variant()}) == []
    variant = a_variant(spread=0.2)
    variant.states["tir"] = a_state("tir", 20.0, 0.5, first=True)
    (note,) = noise_notes({"v": variant})
    assert note.startswith("v: 7 of 21 times are too noisy to quote (a spread over 10%): tir 50%,")


def test_a_report_says_where_and_how() -> None:
    said = summary(a_report())
    assert "2 threads" in said["run"]
    assert said["slowed down"] == "this machine does not tell"
    assert "no power rails" in said["energy"]
    assert "int8 2000" in said["best of ort-cpu"]
    assert "decode 1.50" in said["preprocessing"]
    slow = msgspec.structs.replace(a_report().machine, throttled="oc1 +3")
    assert summary(a_report(machine=slow))["slowed down"] == "oc1 +3"
