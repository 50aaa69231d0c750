"""A bundle that is ready to serve: loaded, warm, and known to give the right embeddings."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from denet.graph import Graph, State
from runtime.bundle.bundle import Bundle
from runtime.gallery import Gallery, GalleryError, Space
from runtime.node.errors import NodeError
from runtime.node.matching import Matcher
from runtime.node.settings import NodeSettings
from runtime.node.tracks.likeness import Likeness, open_likeness
from runtime.runtime import Runtime


@dataclass(frozen=True, eq=False)
class Serving:
    """All that a batch needs, changed as one.

    Attributes:
        runtime: embeds.
        digest: sha256 of the bundle's manifest.
        matcher: finds in the gallery; None if there is none, or it cannot be compared with.
        unmatched: why there is no matcher although there is a gallery; "" otherwise.
        likeness: compares tracks; None if they are not compared.
        uncompared: why they are not although people are followed; "" otherwise.
    """

    runtime: Runtime
    digest: str
    matcher: Matcher | None
    unmatched: str
    likeness: Likeness | None = None
    uncompared: str = ""

    @property
    def graph(self) -> Graph:
        """Of the bundle's modalities."""
        return self.runtime.graph

    @cached_property
    def space(self) -> Space:
        """Of the embeddings."""
        return Space.of(self.runtime.bundle.manifest)

    @cached_property
    def precisions(self) -> Mapping[State, Mapping[str, str]]:
        """For each state the engines that run, in their order, each with its precision."""
        forms = self.runtime.forms
        return {
            state: {name: forms[name] for name in self.graph.plan(state).engines}
            for state in self.graph.states
        }

    @property
    def bundle(self) -> str:
        """For a person: which bundle."""
        return f"{self.runtime.bundle.root} ({self.digest[:12]})"

    def describe(self) -> str:
        """For a person: which bundle, and where it runs."""
        return f"{self.bundle} on {self.runtime.backend} in {self.runtime.variant}"


def load_serving(settings: NodeSettings, gallery: Gallery | None) -> Serving:
    """Open, verify, load, warm and check the bundle that is set.

    Args:
        settings: the configuration.
        gallery: whom the node knows.

    Raises:
        BundleError: it is damaged, or no bundle, or not signed as demanded.
        NodeError: it is of a model without a modality that the node has a source of.
        BackendError: the backend or precision cannot be had.
        CanaryError: it gives wrong embeddings here.
    """
    # A link may be turned to another bundle while this one is read.
    root = Path(settings.model.bundle).resolve()
    bundle = Bundle.open(root)
    _check_sources(settings, bundle)
    digest = hashlib.sha256(bundle.content).hexdigest()
    model = settings.model
    runtime = Runtime.load(
        bundle,
        model.backend,
        model.precision,
        threads=model.threads,
        max_batch=settings.batches.largest,
        preload=True,
        check=True,
        key=model.key,
        ranges=settings.ranges,
    )
    try:
        _warm(runtime)
        space = Space.of(bundle.manifest)
        matcher, unmatched = _matcher(settings, gallery, space)
        likeness, uncompared = _likeness(settings, space)
    except BaseException:
        runtime.close()
        raise
    return Serving(runtime, digest, matcher, unmatched, likeness, uncompared)


def first_serving(settings: NodeSettings, gallery: Gallery | None) -> Serving:
    """The bundle to begin with, which must fit the gallery and the scores of tracks.

    Raises:
        DenetError: it does not; or as `load_serving`.
    """
    serving = load_serving(settings, gallery)
    if problem := serving.unmatched or serving.uncompared:
        serving.runtime.close()
        raise GalleryError(problem)
    return serving


def _check_sources(settings: NodeSettings, bundle: Bundle) -> None:
    known = bundle.graph.modalities
    for m in settings.sources:
        if m not in known:
            raise NodeError(
                f"sources.{m}: the model of {bundle.root} has no {m}, but {', '.join(known)}: "
                "remove the source, or take another bundle"
            )


def _warm(runtime: Runtime) -> None:
    """Run the largest batch, so that buffers of its size are there."""
    size = runtime.bundle.manifest.preprocessing
    blank = np.zeros((size.height, size.width, 3), np.uint8)
    states = itertools.cycle(runtime.graph.states)
    samples = [
        dict.fromkeys(state.available, blank)
        for state in itertools.islice(states, runtime.max_batch)
    ]
    runtime.embed_batch(samples)


def _matcher(
    settings: NodeSettings, gallery: Gallery | None, space: Space
) -> tuple[Matcher | None, str]:
    if gallery is None or settings.gallery is None:
        return None, ""
    try:
        return Matcher(gallery, settings.gallery, space), ""
    except GalleryError as error:
        return None, str(error)


def _likeness(settings: NodeSettings, space: Space) -> tuple[Likeness | None, str]:
    if settings.tracks is None:
        return None, ""
    try:
        return open_likeness(settings.tracks, settings.scores_of_tracks, space), ""
    except GalleryError as error:
        return None, f"tracks: {error}"
