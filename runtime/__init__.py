"""What runs in a camera node: numpy and one inference backend, never torch.

from runtime import Runtime

runtime = Runtime.load("model.denet")
embedding = runtime.embed({"rgb": "person.jpg", "tir": thermal_array})
"""

from __future__ import annotations

from runtime.backends import BackendError
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BundleError
from runtime.preprocess import ImageError
from runtime.runtime import CanaryError, Runtime

__all__ = ["BackendError", "Bundle", "BundleError", "CanaryError", "ImageError", "Runtime"]
