"""Whether people can be followed with what a head has."""

from __future__ import annotations

from runtime.node.boxes.finder import Finder, whole_frames
from runtime.node.errors import NodeError
from runtime.node.head.settings import HeadSettings


def check_followable(settings: HeadSettings, finder: Finder) -> None:
    """See that a head that is to follow people finds them.

    Args:
        settings: the configuration.
        finder: what finds persons.

    Raises:
        NodeError: each frame is the crop of one person: nobody moves in it.
    """
    if settings.tracks is not None and finder is whole_frames:
        raise NodeError(
            f"{settings.key('tracks')}: needs boxes, and each frame is the crop of one person: set "
            "one of boxes.detector, boxes.motion, boxes.file and boxes.call, or remove [tracks]"
        )
