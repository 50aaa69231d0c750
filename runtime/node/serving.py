"""A bundle that is ready to serve: loaded, warm, and known to give the right embeddings."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Union

import numpy as np

from denet.errors import DenetError
from denet.graph import Graph, State, StateError
from runtime.bundle.bundle import Bundle
from runtime.gallery import Gallery, GalleryError, Scores, Space
from runtime.gallery.scores import carried_scores
from runtime.node.errors import NodeError
from runtime.node.matching import Matcher
from runtime.node.scoring import choose_scores
from runtime.node.settings import BatchSettings, NodeSettings
from runtime.node.shedding.costs import measure_costs
from runtime.node.shedding.table import ShedTable, shed_table
from runtime.node.shedding.worth import worth_of_states
from runtime.node.tracks.likeness import Likeness, open_likeness
from runtime.runtime import Runtime
from runtime.serve.contract import AwayError, ChangedError, ServeError
from runtime.serve.remote import RemoteRuntime

Embeds = Union[Runtime, RemoteRuntime]
"""What makes embeddings: here, or on a server."""


@dataclass(frozen=True, eq=False)
class Serving:
    """All that a batch needs, changed as one.

    Attributes:
        runtime: embeds.
        digest: sha256 of the bundle's manifest.
        matcher: finds in the gallery; None if there is none, or it cannot be compared with.
        unmatched: why there is no matcher although there is a gallery; "" otherwise.
        fallback: of a server: the own bundle, which embeds while it is away.
        renew: of a server: connects to it anew.
        away: of an own bundle: why it embeds in the place of a server; "" where it does not.
        likenesses: what compares the tracks of each head, by its name, where they are compared.
        uncompared: why they are not although people are followed; "" otherwise.
        carried: scores of the bundle; those of the own one where a server embeds, whose bundle's
            files are not here.
        table: what may run in the place of each state; None where crops are dropped instead.
    """

    runtime: Embeds
    digest: str
    matcher: Matcher | None
    unmatched: str
    fallback: Serving | None = None
    renew: Callable[[], Serving] | None = None
    away: str = ""
    likenesses: Mapping[str, Likeness] = field(default_factory=dict)
    uncompared: str = ""
    carried: Scores | None = None
    table: ShedTable | None = None

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
        where = f"{self.bundle} on {self.runtime.backend} in {self.runtime.variant}"
        return where + (f", in the place of a server: {self.away}" if self.away else "")

    @property
    def runtimes(self) -> list[Embeds]:
        """All that it keeps open."""
        return [self.runtime, *(self.fallback.runtimes if self.fallback else ())]

    def close(self, keep: Serving | None = None) -> None:
        """Let go of what it keeps open, but for what another needs."""
        needed = [] if keep is None else keep.runtimes
        for each in self.runtimes:
            if not any(each is other for other in needed):
                each.close()

    def instead(self, error: ServeError) -> Serving:
        """What embeds after its server failed: the server, if all that is new there is the bundle;
        or the own bundle.

        Raises:
            ServeError: `error`, where there is neither.
        """
        reason = str(error)
        if isinstance(error, ChangedError) and self.renew is not None:
            try:
                return self.renew()
            except DenetError as failure:
                reason = str(failure)
        if self.fallback is None:
            raise error
        return replace(self.fallback, away=reason)


def load_serving(settings: NodeSettings, gallery: Gallery | None) -> Serving:
    """What is set: the server, with the own bundle behind it if there is one; that alone where the
    server is away.

    Args:
        settings: the configuration.
        gallery: whom the node knows.

    Raises:
        AwayError: the server cannot be reached, and there is no own bundle.
        DenetError: as `load_bundle` and `connect_serving`.
    """
    model = settings.model
    own = None if model.bundle is None else load_bundle(settings, model.bundle, gallery)
    if model.server is None:
        assert own is not None  # or the settings would have been refused
        return own
    try:
        return connect_serving(settings, model.server, gallery, own)
    except AwayError as error:
        if own is None:
            raise
        return replace(own, away=str(error))
    except BaseException:
        if own is not None:
            own.close()
        raise


def connect_serving(
    settings: NodeSettings, server: str, gallery: Gallery | None, own: Serving | None
) -> Serving:
    """Connect to a server, and see by an inference that it works.

    Args:
        settings: the configuration.
        server: its address.
        gallery: whom the node knows.
        own: the bundle behind it, whose embeddings must be comparable; None where there is none.

    Raises:
        AwayError: it cannot be reached, or does not work.
        BundleError: what it says of its bundle is nonsense.
        NodeError: its model lacks a modality that the node has a source of, or is another than
            that of the own bundle.
        ServeError: it is no server of a bundle.
    """
    runtime = RemoteRuntime.connect(server, ranges=settings.ranges)
    try:
        bundle, name = runtime.bundle, runtime.address.name
        _check_sources(settings, name, bundle.graph)
        space = Space.of(bundle.manifest)
        if own is not None and own.space != space:
            raise NodeError(
                f"model.server: {name} serves {space.describe()}, which cannot be compared with "
                f"those of model.bundle, {own.space.describe()}: give both the same model"
            )
        found = _serving(settings, gallery, runtime, None if own is None else own.carried)
    except BaseException:
        runtime.close()
        raise
    renew = partial(connect_serving, settings, server, gallery, own)
    return replace(found, fallback=own, renew=renew)


def load_bundle(settings: NodeSettings, path: str, gallery: Gallery | None) -> Serving:
    """Open, verify, load, warm and check a bundle.

    Args:
        settings: the configuration.
        path: of the bundle.
        gallery: whom the node knows.

    Raises:
        BundleError: it is damaged, or no bundle, or not signed as demanded.
        NodeError: it is of a model without a modality that the node has a source of.
        BackendError: the backend or precision cannot be had.
        CanaryError: it gives wrong embeddings here.
    """
    # A link may be turned to another bundle while this one is read.
    root = Path(path).resolve()
    bundle = Bundle.open(root)
    _check_sources(settings, str(root), bundle.graph)
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
        cache=model.cache,
    )
    try:
        _warm(runtime)
        return _serving(settings, gallery, runtime, carried_scores(bundle))
    except BaseException:
        runtime.close()
        raise


def first_serving(settings: NodeSettings, gallery: Gallery | None) -> Serving:
    """The bundle to begin with, which must fit the gallery and the scores of tracks.

    Raises:
        DenetError: it does not; or as `load_serving`.
    """
    serving = load_serving(settings, gallery)
    if problem := serving.unmatched or serving.uncompared:
        serving.close()
        raise GalleryError(problem)
    return serving


def _serving(
    settings: NodeSettings, gallery: Gallery | None, runtime: Embeds, carried: Scores | None
) -> Serving:
    digest = hashlib.sha256(runtime.bundle.content).hexdigest()
    space = Space.of(runtime.bundle.manifest)
    matcher, unmatched = _matcher(settings, gallery, space, carried)
    likenesses, uncompared = _likenesses(settings, space, carried)
    table = None
    if settings.batches.overload == "shed":
        table = _table(settings.batches, runtime, carried)
    return Serving(
        runtime,
        digest,
        matcher,
        unmatched,
        likenesses=likenesses,
        uncompared=uncompared,
        carried=carried,
        table=table,
    )


def _table(settings: BatchSettings, runtime: Embeds, carried: Scores | None) -> ShedTable:
    """What may run in the place of each state.

    Raises:
        NodeError: nothing says what states are worth, or the floor is none of them.
    """
    graph, manifest = runtime.graph, runtime.bundle.manifest
    worths, _ = worth_of_states(manifest, graph, carried)
    floor = None
    if settings.floor is not None:
        try:
            floor = graph.parse(settings.floor)
        except StateError as error:
            raise NodeError(f"batches.floor: {error}") from None
    costs = measure_costs(runtime, manifest, min(settings.largest, runtime.max_batch))
    return shed_table(graph, costs, worths, floor)


def _check_sources(settings: NodeSettings, name: str, graph: Graph) -> None:
    known = graph.modalities
    for head in settings.camera_heads:
        for m in (m for m in head.sources if m not in known):
            raise NodeError(
                f"{head.key('sources')}.{m}: the model of {name} has no {m}, but "
                f"{', '.join(known)}: remove the source, or take another bundle"
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
    settings: NodeSettings, gallery: Gallery | None, space: Space, carried: Scores | None
) -> tuple[Matcher | None, str]:
    if gallery is None or settings.gallery is None:
        return None, ""
    try:
        return Matcher(gallery, settings.gallery, space, carried), ""
    except GalleryError as error:
        return None, str(error)


def _likenesses(
    settings: NodeSettings, space: Space, carried: Scores | None
) -> tuple[dict[str, Likeness], str]:
    found, reason = {}, ""
    for head in settings.camera_heads:
        tracks = head.tracks
        if tracks is None:
            continue
        try:
            scores = settings.scores_of_tracks(tracks)
            chosen = choose_scores(scores, tracks.threshold, space, carried)
            found[head.name] = open_likeness(tracks, chosen)
        except GalleryError as error:
            reason = reason or f"{head.key('tracks')}: {error}"
    return found, reason
