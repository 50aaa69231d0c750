"""The thresholds of a head's sensors, completed from what is known elsewhere."""

from __future__ import annotations

from msgspec.structs import replace

from denet.graph import Modality
from runtime.bundle.manifest import Manifest
from runtime.node.boxes.homography import Views
from runtime.node.head.settings import HeadSettings
from runtime.node.health import Limits


def limits(
    settings: HeadSettings, views: Views | None, manifest: Manifest
) -> dict[Modality, Limits]:
    """The thresholds of each modality. What is not set is taken from where it is known: the size
    of frames from the calibration, black and white of 16-bit pixels from source or bundle."""
    usual = Limits()
    found = {}
    for m in settings.sources:
        given = settings.health.get(m, usual)
        if given.size is None and views is not None and m in views:
            given = replace(given, size=views[m].size)
        trained = manifest.preprocessing.modalities[m].range16
        found[m] = replace(given, range16=settings.ranges.get(m, trained))
    return found
