"""The smaller network: it is profiled in a moment, and what is looked at does not depend on its
size."""

from __future__ import annotations

from tests.light import bundle, bundle_path, checkpoint, model, outcome, runtime

__all__ = ["bundle", "bundle_path", "checkpoint", "model", "outcome", "runtime"]
