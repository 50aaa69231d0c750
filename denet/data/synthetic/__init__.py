"""The synthetic set: drawn pedestrians in three modalities, for trying and testing a whole system.

`docs/synthetic.md` describes its model of the world.
"""

from __future__ import annotations

from denet.data.synthetic.write import (
    SyntheticConfig,
    SyntheticError,
    World,
    write_synthetic,
)

__all__ = ["SyntheticConfig", "SyntheticError", "World", "write_synthetic"]
