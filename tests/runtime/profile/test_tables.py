"""The tables of a profile."""

from __future__ import annotations

from runtime.profile.tables import clipped, sheets
from runtime.profile.weights import weights_of
from tests.runtime.benchmark.test_tables import lines_of
from tests.runtime.profile.profiles import LONG, a_profile


def test_every_table_fits_80_columns() -> None:
    found = sheets(a_profile(), 15)
    assert len(found) == 5
    for sheet in found:
        assert {len(row) for row in sheet.rows} == {len(sheet.heads)}, sheet.title
        text = "\n".join(lines_of(sheet))
        assert "…" not in text, f"{sheet.title} is too wide:\n{text}"
        assert all(cell in text for row in sheet.rows for cell in row)


def test_layers_share_what_their_engine_takes_unobserved() -> None:
    _, operators, layers, *_ = sheets(a_profile(["tir"]), 4)
    assert layers.title == "the 4 costliest of 15 layers"  # 5 engines
    assert {row[3] for row in layers.rows} == {"5.00"}  # half of 10 ms, though observed it was 12
    assert layers.rows[0][1] == "..ackbone.stages.3.0.conv2" or layers.rows[0][1].endswith("conv2")
    assert operators.rows == [
        ["CaskConvolution int8", "10", "40.0", "80"],
        ["?", "5", "10.0", "20"],
    ]


def test_what_costs_most_stands_first() -> None:
    *_, engines, layers = sheets(a_profile(), 1)
    assert [row[0] for row in engines.rows] == ["all together", "branch_rgb", "dem_rgb2nir"]
    assert engines.rows[0][1:] == ["2.0e-03", "rgb"]
    assert layers.rows == [["branch_rgb", "branch.backbone.stem.0", "Conv", "2.0e-03", "rgb"]]
    assert layers.title.endswith("the 1 costliest of 2 quantized layers")


def test_a_long_name_keeps_its_end() -> None:
    assert clipped("short", 5) == "short"
    assert clipped(LONG, 20) == ".." + LONG[-18:]


def test_a_layer_is_known_by_the_nodes_it_was_made_of() -> None:
    nodes = {"node_Conv_4": "stem", "node_Conv_41": "layer1", "node_linear_2": "fc"}
    assert weights_of("node_Conv_41_token_5", nodes) == "layer1"
    assert weights_of("node_Conv_4_nchwc", nodes) == "stem"
    assert weights_of("fused node_linear_2", nodes) == "fc"
    assert weights_of("node_Conv_41 + node_relu_1", nodes) == "layer1"
    assert weights_of("node_Conv_42", nodes) == weights_of("node_Conv_4_2", nodes) == ""
    assert weights_of("ReorderOutput", nodes) == ""
