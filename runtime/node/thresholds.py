"""The thresholds of a node's sensors, completed from what is known elsewhere."""

from __future__ import annotations

from msgspec.structs import replace

from denet.graph import Modality
from runtime.bundle.manifest import Manifest
from runtime.node.boxes.homography import Views
from runtime.node.health import Limits
from runtime.node.settings import NodeSettings


def limits(
    settings: NodeSettings, views: Views | None, manifest: Manifest
) -> dict[Modality, Limits]:
    """The thresholds of each modality. What is not set is taken from where it is known: the size
    of frames from the calibration, black and white of 16-bit pixels from the bundle."""
    usual = Limits()
    found = {}
    for m in settings.sources:
        given = settings.health.get(m, usual)
        if given.size is None and views is not None and m in views:
            given = replace(given, size=views[m].size)
        if given.range16 == usual.range16:
            given = replace(given, range16=manifest.preprocessing.modalities[m].range16)
        found[m] = given
    return found
