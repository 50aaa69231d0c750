"""The profile of a bundle on this machine: the time of each layer of each engine in each state, a
trace of it all, and which layers INT8 costs most in.

from runtime.profile import ProfileRequest, profile

report, trace = profile("model.denet", ProfileRequest())
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.profile.result import ProfileReport
    from runtime.profile.run import ProfileRequest, profile

__all__ = ["ProfileReport", "ProfileRequest", "profile"]

__getattr__ = lazy(
    __name__,
    {
        "ProfileReport": "runtime.profile.result",
        "ProfileRequest": "runtime.profile.run",
        "profile": "runtime.profile.run",
    },
)
