"""A small HTTP server for what a node shows: one thread, bounded in number and time.

from runtime.node.web import Request, WebServer

server = WebServer("metrics", "127.0.0.1", 9321, lambda path: Answer(200, "text/plain", b"..."))
server.start()
server.close()
"""

from __future__ import annotations

from runtime.node.web.request import NOT_HERE, Answer, Take
from runtime.node.web.server import WebServer

__all__ = ["NOT_HERE", "Answer", "Take", "WebServer"]
