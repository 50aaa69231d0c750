"""A node whose crops a server embeds: what it does when that goes away, comes back, changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from runtime import Runtime
from runtime.gallery import Enrolment, GalleryError, Space, open_gallery
from runtime.node import Node, NodeSettings
from runtime.node.announcer import Announcer
from runtime.node.backlog import Account
from runtime.node.check import check_node
from runtime.node.embedder import NOT_EMBEDDED, Embedder
from runtime.node.errors import NodeError
from runtime.node.head.settings import HeadSettings
from runtime.node.server_watch import ServerWatch
from runtime.node.serving import first_serving, load_serving
from runtime.node.settings import BatchSettings, convert
from runtime.node.status_snapshot import status_snapshot
from runtime.serve import AwayError, ServeError
from tests.command import denet, refused
from tests.runtime.node.parts import (
    STATES,
    OneLane,
    Remembered,
    another,
    balanced,
    config_file,
    crop,
    document,
    ignore,
    outputs,
    run,
)
from tests.runtime.node.waiting import until

if TYPE_CHECKING:
    from tests.runtime.serve.played import Played

pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")


def configured(
    server: Played, recording: Path, bundle: Path | None = None, **more: Any
) -> NodeSettings:
    made = document(Path("b"), recording, **more)
    # A machine under load takes its time.
    made["model"] = {"server": f"{server.address}?timeout=60"}
    if bundle is not None:
        made["model"] |= {"bundle": str(bundle), "backend": "ort-cpu"}
    return convert(made)


class Watching:
    """An embedder whose batches are run by hand, and a watch whose looks are."""

    def __init__(self, settings: NodeSettings, gallery: str | None = None) -> None:
        self.sink, self.said = Remembered(), []
        self.crops = OneLane(1000)
        opened = None if gallery is None else open_gallery(gallery)
        announcer = Announcer("n", self.sink, "float32", ignore)
        self.embedder = Embedder(
            load_serving(settings, opened),
            self.crops,
            BatchSettings(largest=4, deadline=0.001),
            announcer,
            self.said.append,
            outputs(announcer),
        )
        server = settings.model.server
        assert server is not None
        self.watch = ServerWatch(settings, server, opened, self.embedder, self.said.append)

    def embed(self) -> bool:
        """A batch of four."""
        self.embedder._take_over()
        for i in range(4):
            self.crops.put(crop(float(i), STATES[i].available))
        taken = self.crops.take(4, 0.0, lambda _: 0.0)
        assert taken is not None
        return self.embedder.embed(taken)

    def notices(self) -> list[str | None]:
        return [kind for kind, _ in self.sink.notices()]

    def embeddings(self) -> np.ndarray:
        return np.array([e.embedding.vector() for e in self.sink.events if e.embedding is not None])


def test_the_server_embeds(played: Played, runtime: Runtime, data: Path) -> None:
    made = Watching(configured(played, data / "test"))
    assert made.embed()
    made.embedder.close()
    crops = [crop(float(i), STATES[i].available).images for i in range(4)]
    assert np.array_equal(made.embeddings(), runtime.embed_batch(crops))
    assert played.requests == [1, 4]
    (event, *_) = made.sink.events
    assert event.checkpoint == runtime.bundle.manifest.checkpoint_sha256
    assert set(event.precisions.values()) == {"fp32"}


def test_the_own_bundle_takes_its_place_and_the_server_comes_back(
    played: Played, bundle_path: Path, data: Path
) -> None:
    made = Watching(configured(played, data / "test", bundle_path))
    assert made.embed()
    played.stop()
    assert made.embed()
    assert made.embedder.serving.away.endswith("Connection refused")
    assert "in the place of a server" in made.embedder.serving.describe()
    assert made.watch.look()
    played.start()
    until(lambda: not made.watch.look())
    assert not made.watch.look()
    assert made.embed()
    assert not made.embedder.serving.away
    assert made.notices() == ["server away", "server back"]
    assert played.requests[-1] == 4
    # Nothing was lost, and both made the same.
    assert made.crops.snapshot() == Account(12, 12, {}, 0)
    found = made.embeddings()
    assert np.abs(found[:4] - found[4:8]).max() < 1e-5
    assert np.array_equal(found[:4], found[8:])
    made.embedder.close()


def test_without_an_own_bundle_crops_are_accounted_for(played: Played, data: Path) -> None:
    made = Watching(configured(played, data / "test"))
    played.stop()
    assert not made.embed()
    assert not made.watch.look()
    played.start()
    until(made.embed)
    account = made.crops.snapshot()
    assert (account.left, set(account.dropped), account.balanced) == (4, {NOT_EMBEDDED}, True)
    assert "cannot be reached" in made.said[0]
    assert made.said[-1] == "embedding works again"
    made.embedder.close()


def test_another_precision_or_bundle_of_the_server_takes_over(
    played: Played, bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    made = Watching(configured(played, data / "test", bundle_path))
    again = another(bundle_path, tmp_path / "again.denet", tools={"name": "another day"})
    with Runtime.load(again, "ort-cpu") as exchanged:
        played.serve(exchanged)
        assert made.embed()
        assert made.notices() == ["bundle swapped"]
        assert made.embed()
        played.stop()
        assert made.embed()
        assert made.notices() == ["bundle swapped", "server away"]
    assert made.crops.snapshot() == Account(12, 12, {}, 0)
    made.embedder.close()


def test_another_model_of_the_server_is_not_mixed_with_the_own(
    played: Played, bundle_path: Path, data: Path, other_model: Runtime, runtime: Runtime
) -> None:
    made = Watching(configured(played, data / "test", bundle_path))
    played.serve(other_model)
    assert made.embed()
    assert made.notices() == ["server away"]
    assert "cannot be compared" in made.embedder.serving.away
    assert made.watch.look()
    assert made.said == []  # it is known already
    played.serve(runtime)
    assert not made.watch.look()
    assert made.embed()
    assert made.notices() == ["server away", "server back"]
    assert {e.checkpoint for e in made.sink.events if e.kind == "embedding"} == {
        runtime.bundle.manifest.checkpoint_sha256
    }
    made.embedder.close()


def test_where_there_is_no_own_bundle_another_model_is_not_matched(
    played: Played, data: Path, other_model: Runtime, runtime: Runtime, tmp_path: Path
) -> None:
    path = tmp_path / "people.db"
    images = crop(0.0).images
    with open_gallery(str(path), create=True) as gallery:
        space = Space.of(runtime.bundle.manifest)
        gallery.enrol(space, [Enrolment("a", STATES[0], runtime.embed(images))])
    url = f"file:{path}"
    known = {"url": url, "threshold": 0.5}
    made = Watching(configured(played, data / "test", gallery=known), url)
    assert made.embed()
    assert made.sink.events[0].match is not None
    played.serve(other_model)
    assert made.embed()
    assert made.notices() == ["bundle swapped"]
    assert made.sink.events[-1].match is None
    assert "another model" in made.embedder.unmatched
    made.embedder.close()
    with open_gallery(str(path)) as gallery, pytest.raises(GalleryError, match="another model"):
        first_serving(configured(played, data / "test", gallery=known), gallery)


def test_what_does_not_fit_is_refused_at_the_start(
    played: Played, bundle_path: Path, data: Path, other_model: Runtime
) -> None:
    own = configured(played, data / "test", bundle_path)
    alone = configured(played, data / "test")
    played.serve(other_model)
    with pytest.raises(NodeError, match="cannot be compared"):
        load_serving(own, None)
    played.spoil = lambda _answer: b""
    for settings in (own, alone):
        with pytest.raises(ServeError, match="other tensors"):
            load_serving(settings, None)
    played.stop()
    with pytest.raises(AwayError, match="cannot be reached"):
        load_serving(alone, None)
    found = load_serving(own, None)
    assert "cannot be reached" in found.away
    found.close()
    assert check_node(own, ignore)[0].startswith(f"model.server: {played.address}")


def test_a_server_of_other_modalities(played: Played, data: Path) -> None:
    settings = configured(played, data / "test")
    head = HeadSettings(name="east", sources=settings.sources)
    sources = {**settings.sources, "uv": settings.sources["rgb"]}
    msgspec.structs.force_setattr(head, "sources", sources)
    widened = msgspec.structs.replace(settings, heads=(head,), sources={})
    with pytest.raises(
        NodeError, match=rf"heads\.east\.sources\.uv: the model of {played.address} has no uv"
    ):
        load_serving(widened, None)


def test_a_node_goes_on_while_its_server_comes_and_goes(
    played: Played, bundle_path: Path, data: Path
) -> None:
    looping = document(bundle_path, data / "test")
    looping["model"]["server"] = f"{played.address}?timeout=60"
    for source in looping["sources"].values():
        source["loop"] = True
    said: list[str] = []
    with Node(convert(looping), notify=said.append) as node:
        node.start()

        def away() -> bool:
            return node.snapshot().facts()["away"] != ""

        until(lambda: len(played.requests) > 2)
        assert "server" in node.snapshot().stages
        played.stop()
        until(away)
        taken = node.snapshot()
        assert "server away" in taken.line(None)
        shown = status_snapshot("n", taken, node._embedder.serving, ())
        assert shown.troubles[0].startswith("the server is away: ")
        played.start()
        until(lambda: not away())
        end = node.close()
    assert node.failure == ""
    balanced(end)
    assert not {NOT_EMBEDDED} & set(end.crops.dropped)
    kinds = [line.partition(":")[0] for line in said if line.startswith("server ")]
    assert kinds == ["server away", "server back"]


def test_a_node_embeds_a_recording_by_a_server(played: Played, data: Path) -> None:
    facts, said = run(configured(played, data / "test"))
    balanced(facts)
    assert facts.crops.left == sum(played.requests) - 1 > 0
    assert played.address in said[0]


@pytest.mark.parametrize(
    ("embeds", "words"),
    [
        ('server = "grpc://10.0.0.1"', "in plain sight"),
        ('server = "here"', "is no address of a server"),
        ('server = "grpc://127.0.0.1:1"', "cannot be reached"),
        ("", "model.bundle: is missing"),
    ],
)
def test_what_cannot_run_is_told_in_one_line(
    embeds: str, words: str, bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    path = config_file(tmp_path, bundle_path, data / "test", tmp_path / "events.jsonl")
    text = path.read_text().replace(f'bundle = "{bundle_path}"', embeds)
    path.write_text(text)
    refused(denet("node", "run", path), words)
