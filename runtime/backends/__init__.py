"""Inference backends, by name, and the choice among them."""

from __future__ import annotations

from runtime.backends.base import Backend, BackendError, Buffer
from runtime.backends.choose import BACKENDS, Choice, choose

__all__ = ["BACKENDS", "Backend", "BackendError", "Buffer", "Choice", "choose"]
