"""What runs in a camera node: numpy and one inference backend, never torch.

from runtime import Runtime

runtime = Runtime.load("model.denet")
embedding = runtime.embed({"rgb": "person.jpg", "tir": thermal_array})

The names below are loaded when they are first used: the command line lists the commands of this
package, and should not wait for what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.backends import BackendError
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.manifest import BundleError
    from runtime.preprocess import ImageError
    from runtime.runtime import CanaryError, Runtime

__all__ = ["BackendError", "Bundle", "BundleError", "CanaryError", "ImageError", "Runtime"]

__getattr__ = lazy(
    __name__,
    {
        "BackendError": "runtime.backends",
        "Bundle": "runtime.bundle.bundle",
        "BundleError": "runtime.bundle.manifest",
        "CanaryError": "runtime.runtime",
        "ImageError": "runtime.preprocess",
        "Runtime": "runtime.runtime",
    },
)
