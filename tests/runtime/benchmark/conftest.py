"""A benchmark that is over soon."""

from __future__ import annotations

import pytest

from runtime.benchmark import images, roofs, run, states, stream


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little as can be measured."""
    monkeypatch.setattr(states, "STRETCHES", 2)
    monkeypatch.setattr(states, "TRACES", (2, 2))
    monkeypatch.setattr(states, "SWEEP", 1)
    monkeypatch.setattr(images, "STRETCHES", 2)
    monkeypatch.setattr(roofs, "SIDE", 64)
    monkeypatch.setattr(roofs, "SECONDS", 0.002)
    monkeypatch.setattr(roofs, "COPIES", (2**20, 2**22))
    for module in (stream, run):
        monkeypatch.setattr(module, "BATCH", 2)
        monkeypatch.setattr(module, "SAMPLES", 2 * (5 * 5 + 1))
    monkeypatch.setattr("runtime.benchmark.sections.BATCH", 2)
