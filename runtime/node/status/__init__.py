"""A page that shows a person what a node sees and does.

from runtime.node.status import Snapshot, StatusPage, StatusSettings

page = StatusPage(StatusSettings(port=8321))
page.start()
page.update(Snapshot(node="gate-3", time=time.time(), verdicts=diagnosis.verdicts, ...))
page.close()
"""

from __future__ import annotations

from runtime.node.status.page import StatusPage
from runtime.node.status.settings import StatusError, StatusSettings
from runtime.node.status.snapshot import Seen, Snapshot

__all__ = ["Seen", "Snapshot", "StatusError", "StatusPage", "StatusSettings"]
