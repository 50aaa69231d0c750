"""A bundle loaded as the options of a command say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from denet.options import RuntimeOptions

if TYPE_CHECKING:
    from runtime.bundle.bundle import Bundle
    from runtime.runtime import Runtime


def loaded(
    bundle: Bundle | Path, running: RuntimeOptions, batch: int = 16, *, check: bool = False
) -> Runtime:
    """A bundle that is loaded as the options say, for so many samples at once."""
    from runtime.runtime import Runtime

    return Runtime.load(
        bundle,
        running.backend,
        running.precision,
        check=check,
        threads=running.threads,
        max_batch=batch,
    )
