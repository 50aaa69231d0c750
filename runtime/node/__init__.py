"""The camera node: live streams in, embeddings and identities out, through any sensor failure.

from runtime.node import Node, read_settings

node = Node(read_settings(Path("node.toml")))
node.start()
while not node.wait(1.0):
    print(node.snapshot().facts())  # as --json
node.close()

The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.node.errors import NodeError
    from runtime.node.node import Node
    from runtime.node.settings import NodeSettings, read_settings
    from runtime.node.snapshot import NodeSnapshot

__all__ = ["Node", "NodeError", "NodeSettings", "NodeSnapshot", "read_settings"]

_HOMES = {
    "Node": "node",
    "NodeError": "errors",
    "NodeSettings": "settings",
    "NodeSnapshot": "snapshot",
    "read_settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
