"""The camera node: live streams in, embeddings and identities out, through any sensor failure.

from runtime.node import Node, read_settings

node = Node(read_settings(Path("node.toml")))
node.start()
while not node.wait(1.0):
    print(node.look().plain())
node.close()
"""

from __future__ import annotations

from runtime.node.errors import NodeError
from runtime.node.facts import Facts
from runtime.node.node import Node
from runtime.node.settings import NodeSettings, read_settings

__all__ = ["Facts", "Node", "NodeError", "NodeSettings", "read_settings"]
