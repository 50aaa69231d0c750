"""Phases and learning rates."""

from __future__ import annotations

import pytest

from denet.recipe import PRESETS, TrainConfig
from denet.schedule import learning_rate, phase_of


def test_the_learning_rate_of_the_presets() -> None:
    paper = PRESETS["paper"].train
    assert [learning_rate(paper, e) for e in (0, 29.9, 30, 55)] == pytest.approx(
        [0.01, 0.01, 1e-3, 1e-4]
    )
    strong = PRESETS["strong"].train
    assert learning_rate(strong, 2.5) == pytest.approx(strong.lr / 2)
    assert learning_rate(strong, 5) == pytest.approx(strong.lr)
    assert learning_rate(strong, 42.5) == pytest.approx(strong.lr / 2)
    assert learning_rate(strong, 79.999) == pytest.approx(0, abs=1e-9)
    assert learning_rate(strong, 120) == pytest.approx(0, abs=1e-12)


def test_the_learning_rate_of_each_phase() -> None:
    config = TrainConfig(epochs=4, graph_epochs=2, warmup=1, schedule="cosine", lr=1.0)
    at = [learning_rate(config, epoch) for epoch in (0, 1, 2.5, 3.999, 4, 5, 5.999)]
    assert at == pytest.approx([0.01, 1, 0.5, 0, 0.01, 1, 0], abs=1e-5)
    assert [phase_of(config, e) for e in range(6)] == ["branches"] * 4 + ["graph"] * 2
    assert phase_of(TrainConfig(), 0) == "joint"
