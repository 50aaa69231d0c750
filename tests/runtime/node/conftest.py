"""What every test of a node leaves as it was."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def module_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`boxes.call` looks in the current folder from then on, as in a program of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
