"""Writes the model card of a bundle that is being exported."""

from __future__ import annotations

from pathlib import Path

import msgspec

from denet.data.records import open_data
from denet.embed import BundleEmbedder
from denet.examine import examine
from denet.graph import Graph
from denet.progress import Whole
from denet.provenance import as_name
from denet.subject import Subject, manifest_config
from denet.testset import open_split
from runtime.bundle.bundle import Bundle
from runtime.bundle.card import CardAccuracy
from runtime.bundle.writing import store_manifest
from runtime.runtime import Runtime


def check_test_data(root: Path, graph: Graph) -> None:
    """See that a model of `graph` can be tested on the data at `root`, before the work for it.

    Raises:
        DataError: there is no test split with a match, or nothing that the model takes.
    """
    open_split(open_data(root)).seen_by(graph)


def measure_bundle(
    folder: Path, root: Path, threads: int | None, notify: Whole = lambda *_: None
) -> CardAccuracy:
    """Measure a bundle in FP32 on the test split of a data set, and write that into its card.

    Args:
        folder: of the bundle, which has no name yet.
        root: of the data set.
        threads: of ONNX Runtime.
        notify: told how many images are embedded.

    Raises:
        DataError: it cannot be tested there.
    """
    data = open_data(root)
    with Runtime.load(folder, "ort-cpu", "fp32", threads=threads) as runtime:
        config = manifest_config(folder, runtime.bundle.manifest.model)
        subject = Subject(root, BundleEmbedder(runtime), config, runtime.backend)
        found = examine(subject, open_split(data), notify=notify)
    split = found.split
    accuracy = CardAccuracy(
        data=as_name(root.absolute().name),
        layout=as_name(data.name),
        queries=len(split.query),
        gallery=len(split.gallery),
        identities=len({record.identity for record in split.gallery}),
        cameras=len({record.camera for record in split.gallery}),
        precision="fp32",
        projection=runtime.bundle.manifest.projection_digest,
        states={
            state.name: (round(ranking.map, 2), round(ranking.cmc(1), 2))
            for state, ranking in found.states.items()
        },
    )
    manifest = Bundle.open(folder).manifest
    card = msgspec.structs.replace(manifest.model_card, tested=accuracy)
    store_manifest(folder, msgspec.structs.replace(manifest, card=card))
    return accuracy
