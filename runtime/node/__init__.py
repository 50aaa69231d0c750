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

from typing import TYPE_CHECKING

from denet.lazy import lazy

if TYPE_CHECKING:
    from runtime.node.errors import NodeError
    from runtime.node.node import Node
    from runtime.node.settings import NodeSettings, read_settings
    from runtime.node.snapshot import NodeSnapshot

__all__ = ["Node", "NodeError", "NodeSettings", "NodeSnapshot", "read_settings"]

__getattr__ = lazy(
    __name__,
    {
        "Node": "runtime.node.node",
        "NodeError": "runtime.node.errors",
        "NodeSettings": "runtime.node.settings",
        "NodeSnapshot": "runtime.node.snapshot",
        "read_settings": "runtime.node.settings",
    },
)
