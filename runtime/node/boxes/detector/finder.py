"""The finder of a node with detectors: what all healthy sensors see, each person once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from denet.graph import Modality
from denet.pixels import FULL, Range
from runtime.node.boxes.box import Box
from runtime.node.boxes.chosen import check_modalities, chosen_modalities
from runtime.node.boxes.detection import Detection
from runtime.node.boxes.detector.engine_files import EngineHome
from runtime.node.boxes.detector.model import DetectorModel
from runtime.node.boxes.detector.settings import DetectorSettings, NetworkSettings
from runtime.node.boxes.fusion import fuse
from runtime.node.boxes.homography import Views
from runtime.node.errors import NodeError
from runtime.node.sources.frame import Frame

KEY = "boxes.detector"


class DetectorFinder:
    """Looks for persons in the frames of all modalities that are healthy and chosen.

    Args:
        settings: the configuration.
        modalities: that the node has sources of.
        views: how they see the RGB frame; None if all show the same.
        ranges: the values of black and white of 16-bit pixels by modality.
        threads: CPU threads of the process's pool; None for the cores that may be used.
        models: those that are open already, which heads share, each called in threads of several.
        home: where their TensorRT engines may be; None where there is no bundle.

    Raises:
        NodeError: a model cannot be used, or a modality is not there; names the section.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        modalities: Sequence[Modality],
        views: Views | None,
        ranges: Mapping[Modality, Range],
        threads: int | None,
        models: dict[bytes, DetectorModel] | None = None,
        home: EngineHome | None = None,
    ) -> None:
        known = {} if models is None else models

        def opened(wanted: NetworkSettings, key: str) -> DetectorModel:
            named = msgspec.json.encode((key, wanted))
            if named not in known:
                known[named] = DetectorModel(wanted, threads, key, home)
            return known[named]

        self._settings, self._views, self._ranges = settings, views, ranges
        chosen = chosen_modalities(settings.modalities, modalities, KEY)
        check_modalities(settings.own, chosen, f"{KEY}.own")
        self._models: dict[Modality, DetectorModel] = {
            m: opened(own, f"{KEY}.own.{m}") for m, own in settings.own.items()
        }
        others = [m for m in chosen if m not in self._models]
        if others:
            shared = opened(settings, KEY)
            self._models |= dict.fromkeys(others, shared)
        self._turn = 0

    def __call__(self, frames: Mapping[Modality, Frame], _time: float) -> Sequence[Box]:
        """See `finder.Finder`.

        Raises:
            NodeError: no frame is of a modality that is searched, or a model fails.
        """
        return [each.box for each in self.look(frames) or ()]

    def look(self, frames: Mapping[Modality, Frame]) -> list[Detection] | None:
        """As `detect`, each how-manieth moment; None in between.

        Raises: as a call.
        """
        found = None if self._turn else self.detect(frames)  # after a failure the next one is it
        self._turn = (self._turn + 1) % self._settings.interval
        return found

    def detect(self, frames: Mapping[Modality, Frame]) -> list[Detection]:
        """Persons in frames of one moment, in pixels of the RGB frame, the highest score first.

        Raises: as a call.
        """
        seen = {m: frame.image for m, frame in frames.items() if m in self._models}
        if not seen:
            raise NodeError(
                f"{KEY}: searches {', '.join(self._models)}, and none of them is healthy"
            )
        found = {
            m: self._models[m].find(image, m, self._ranges.get(m, FULL))
            for m, image in seen.items()
        }
        return fuse(found, self._views, self._settings.fusion)

    def describe(self) -> list[str]:
        """For a person: each model, what it was taken for, and in whose frames it looks."""
        models = dict.fromkeys(self._models.values())
        return [
            f"{model.describe()}, in {'+'.join(m for m, of in self._models.items() if of is model)}"
            for model in models
        ]
