"""A page that shows a person what a node sees and does.

from runtime.node.status import StatusPage, StatusSettings, StatusSnapshot

page = StatusPage(StatusSettings(port=8321))
page.start()
page.update(StatusSnapshot("gate-3", time.time(), [HeadShown("", assessment.verdicts, ...)], ...))
page.close()
"""

from __future__ import annotations

from runtime.node.status.page import StatusPage
from runtime.node.status.settings import StatusError, StatusSettings
from runtime.node.status.snapshot import HeadShown, Seen, StatusSnapshot

__all__ = ["HeadShown", "Seen", "StatusError", "StatusPage", "StatusSettings", "StatusSnapshot"]
