"""A bundle on disk: what its manifest holds, reading it with verification, and writing one."""

from __future__ import annotations

from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError, Manifest

__all__ = ["Bundle", "BundleError", "Manifest"]
