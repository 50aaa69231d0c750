"""Whether people can be followed with what a node has."""

from __future__ import annotations

from runtime.node.boxes.finder import Finder, whole_frames
from runtime.node.errors import NodeError
from runtime.node.settings import NodeSettings


def check_followable(settings: NodeSettings, finder: Finder) -> None:
    """See that a node that is to follow people finds them.

    Args:
        settings: the configuration.
        finder: what finds persons.

    Raises:
        NodeError: each frame is the crop of one person: nobody moves in it.
    """
    if settings.tracks is not None and finder is whole_frames:
        raise NodeError(
            "tracks: needs boxes, and each frame is the crop of one person: set one of "
            "boxes.detector, boxes.motion, boxes.file and boxes.call, or remove [tracks]"
        )
