"""The deadline that tests set for what may hang."""

from __future__ import annotations

import time

import pytest

from tests import deadline as module
from tests.deadline import HangError, deadline


def test_what_hangs_is_ended() -> None:
    with pytest.raises(HangError), deadline(0.1):
        time.sleep(60)


def test_what_has_no_core_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = iter([0.0, 0.3])
    monkeypatch.setattr(module, "starved_for", lambda: next(waits, 0.3))
    began = time.monotonic()
    with pytest.raises(HangError), deadline(0.1):
        time.sleep(60)
    assert time.monotonic() - began >= 0.4
