"""How parts of a node tell what happens to them."""

from __future__ import annotations

from collections.abc import Callable

Notify = Callable[[str], None]
"""Takes a line for a person, in any thread."""
