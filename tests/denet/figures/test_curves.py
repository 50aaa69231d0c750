"""The curves of a run: what is drawn is what its log says."""

from __future__ import annotations

import math
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib.axes import Axes

from denet.figures.curves import TERMS, curves_figure
from denet.model import DENet
from denet.run import BEST, LOG, EpochReport, Origin, Run, TrainingError
from denet.training_log import log_of_checkpoint, read_log
from tests.conftest import TINY
from tests.denet.training import SHORT, with_train

HISTORY = tuple(
    EpochReport(
        epoch=epoch,
        total=10 / epoch,
        identity=4 / epoch,
        triplet=0.0,
        branch=2 / epoch if epoch <= 2 else 0.0,
        plain=0.0,
        states=0.0,
        recovery=0.0 if epoch <= 2 else 0.5 / epoch,
        similarity=0.0,
        adversary=-0.1,
        lr=1e-3 * (1 - epoch / 10),
        images_per_second=50.0,
        waiting=0.1,
        map=math.nan if epoch <= 2 else 10.0 * epoch,
    )
    for epoch in range(1, 6)
)


def curves_of(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))  # type: ignore[arg-type]
        for line in axes.lines
    }


def test_every_loss_that_was_computed_has_a_curve() -> None:
    losses, accuracy, rate = curves_figure(HISTORY, 2).axes
    drawn = curves_of(losses)
    epochs = [1, 2, 3, 4, 5]
    assert {name for name in drawn if name in TERMS} == {
        *("identity", "branch", "recovery", "adversary")
    }
    assert drawn["total"][0] == [1, 2, 2.5, 3, 4, 5]  # no line from one sum to another
    assert math.isnan(drawn["total"][1].pop(2))
    np.testing.assert_array_equal(drawn["total"][1], [report.total for report in HISTORY])
    for name in ("identity", "branch", "recovery"):
        at, values = drawn[name]
        assert at == epochs
        known = [getattr(report, name) or math.nan for report in HISTORY]
        np.testing.assert_array_equal(values, known)
    assert all(map(math.isnan, drawn["adversary"][1]))  # no logarithm of it
    (curve, border) = accuracy.lines
    assert list(curve.get_xdata()) == [3, 4, 5]
    assert list(curve.get_ydata()) == [30, 40, 50]
    assert list(border.get_xdata()) == [2.5, 2.5]
    rates = list(rate.lines[0].get_ydata())
    assert math.isnan(rates.pop(2))
    assert rates == [report.lr for report in HISTORY]


def test_without_held_out_identities_there_is_no_panel_of_them() -> None:
    assert len(curves_figure([replace(r, map=math.nan) for r in HISTORY]).axes) == 2


def test_a_joint_training_has_no_border() -> None:
    assert all(len(axes.lines) == 1 for axes in curves_figure(HISTORY[2:]).axes[1:])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    recipe = msgspec.structs.replace(SHORT, train=with_train(epochs=2, graph_epochs=3).train)
    begun = Run(tmp_path / "run")
    begun.begin(Origin(recipe=recipe, data="0" * 64))
    begun.save(DENet(TINY), {}, HISTORY)
    return begun.path


def test_the_log_is_read_as_it_was_written(run: Path) -> None:
    log = read_log(run)
    assert log is not None
    assert repr(log.history) == repr(HISTORY)  # NaN is not equal to itself
    assert log.branch_epochs == 2
    assert repr(log_of_checkpoint(run / BEST)) == repr(log)
    assert log_of_checkpoint(run / "other.safetensors") is None
    assert log_of_checkpoint(run.parent / BEST) is None


def test_a_log_that_is_damaged_is_one_line(run: Path) -> None:
    content = (run / LOG).read_text()
    draw = random.Random(0)
    for damaged in ("epoch,total\n1,2\n", content.replace("1,", "x,", 1), "\0" + content):
        (run / LOG).write_text(damaged)
        with pytest.raises(TrainingError, match=LOG):
            read_log(run)
    for _ in range(50):
        cut = content[: draw.randrange(len(content))]
        (run / LOG).write_text(cut)
        with suppress(TrainingError):  # and nothing else
            read_log(run)
