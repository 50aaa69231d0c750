"""Another bundle takes over while a node runs: between two batches, without a crop lost; one that
is damaged or wrong in any way leaves the old one at work."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, BundleError
from runtime.bundle.signature import sign
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import Node, NodeSettings, NodeSnapshot
from runtime.node.announcer import Announcer
from runtime.node.backlog import Account
from runtime.node.embedder import Embedder
from runtime.node.running import Signals, run_node
from runtime.node.serving import Serving, load_serving
from runtime.node.settings import BatchSettings, convert
from runtime.node.stage_items import Crop
from runtime.node.swap import Swapper, fingerprint
from tests.runtime.bundle.damage import edit_manifest
from tests.runtime.bundle.keys import made_key, needs_openssh
from tests.runtime.node.parts import (
    STATES,
    OneLane,
    Remembered,
    another,
    crop,
    document,
    outputs,
    settings,
)


class Watched:
    """A swapper whose looks are made by hand, and an embedder whose batches are not run."""

    def __init__(self, made: NodeSettings, gallery: str | None = None) -> None:
        self.settings = made
        self.gallery = None if gallery is None else open_gallery(gallery)
        self.sink = Remembered()
        self.crops = OneLane(10_000)
        announcer = Announcer("n", self.sink, "float16", lambda _text: None)
        self.embedder = Embedder(
            self.load(),
            self.crops,
            BatchSettings(largest=4, deadline=0.001),
            announcer,
            lambda _text: None,
            outputs(announcer),
        )
        path = Path(made.model.bundle)
        self.swapper = Swapper(path, self.load, self.embedder.offer, announcer, 0.001)

    def load(self) -> Serving:
        return load_serving(self.settings, self.gallery)

    def close(self) -> None:
        self.embedder.close()
        if self.gallery is not None:
            self.gallery.close()

    def told(self) -> list[tuple[str | None, str]]:
        """What was said of bundles, once the embedder has had a turn."""
        self.embedder._take_over()
        return self.sink.notices()


def linked(bundle: Path, folder: Path) -> Path:
    link = folder / "current.denet"
    link.symlink_to(bundle)
    return link


def turn(link: Path, bundle: Path) -> None:
    """Let a link point elsewhere, at one stroke."""
    new = link.with_name("new")
    new.symlink_to(bundle)
    new.replace(link)


def test_a_fingerprint_tells_every_change(bundle_path: Path, tmp_path: Path) -> None:
    bundle = another(bundle_path, tmp_path / "a.denet")
    link = linked(bundle, tmp_path)
    seen = [fingerprint(link)]
    assert fingerprint(link) == seen[0]
    turn(link, another(bundle_path, tmp_path / "b.denet"))
    seen.append(fingerprint(link))
    (link / "canary.npz").write_bytes(b"")
    seen.append(fingerprint(link))
    (link / "more").touch()
    seen.append(fingerprint(link))
    os.utime(link / "more", ns=(1, 1))
    seen.append(fingerprint(link))
    link.unlink()
    seen.append(fingerprint(link))
    assert len(set(seen)) == len(seen)
    assert seen[-1] is None


def test_a_bundle_is_taken_when_it_has_stood_still(bundle_path: Path, tmp_path: Path) -> None:
    first = another(bundle_path, tmp_path / "a.denet")
    second = another(bundle_path, tmp_path / "b.denet", tools={"new": "1"})
    link = linked(first, tmp_path)
    watched = Watched(settings(link, tmp_path))
    try:
        watched.swapper.look()
        assert watched.told() == []
        old = watched.embedder.serving
        turn(link, second)
        watched.swapper.look()
        assert watched.told() == []  # it may still be on its way
        watched.swapper.look()
        ((kind, reason),) = watched.told()
        assert kind == "bundle swapped"
        assert str(second) in reason
        new = watched.embedder.serving
        assert new.digest != old.digest
        assert new.runtime.bundle.root == second
        watched.swapper.look()
        watched.swapper.look()
        assert len(watched.told()) == 1
        assert watched.embedder.swaps == 1
    finally:
        watched.close()


def damaged(bundle: Path) -> None:
    engine = next((bundle / "onnx").rglob("*.onnx"))
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)


def truncated(bundle: Path) -> None:
    engine = next((bundle / "onnx").rglob("*.onnx"))
    engine.write_bytes(engine.read_bytes()[:-1])


def without_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


def unreadable(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("{")


def wrong(bundle: Path) -> None:
    """Its golden inputs give embeddings that are not the expected ones."""
    edit_manifest(
        bundle, lambda m: m["preprocessing"]["modalities"]["tir"].update(mean=[0.9, 0.1, 0.5])
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "sha256"),
        (truncated, "damaged"),
        (without_manifest, "no manifest.json"),
        (unreadable, "damaged"),
        (wrong, "golden inputs give wrong embeddings"),
    ],
)
def test_a_bad_bundle_leaves_the_old_one_at_work(
    bundle_path: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    bad = another(bundle_path, tmp_path / "bad.denet", tools={"bad": "1"})
    spoil(bad)
    link = linked(bundle_path, tmp_path)
    watched = Watched(settings(link, tmp_path))
    try:
        old = watched.embedder.serving
        turn(link, bad)
        for _ in range(4):
            watched.swapper.look()  # it is refused once
        ((kind, reason),) = watched.told()
        assert kind == "swap refused"
        assert reason.startswith("the bundle that runs goes on: ")
        assert words in reason
        assert watched.embedder.serving is old
        assert watched.swapper.refused == 1
        watched.swapper.ask()  # whoever asks is answered
        watched.swapper.look()
        assert watched.swapper.refused == 2
        turn(link, bundle_path)
        watched.swapper.look()
        watched.swapper.look()
        assert watched.told()[-1][0] == "bundle swapped"
    finally:
        watched.close()


@needs_openssh
def test_only_signed_bundles_take_over_where_that_is_demanded(
    bundle_path: Path, tmp_path: Path
) -> None:
    key, public = made_key(tmp_path / "key")
    other, _ = made_key(tmp_path / "other")
    first, second = (another(bundle_path, tmp_path / f"{i}.denet", tools={"i": i}) for i in "ab")
    link = linked(first, tmp_path)
    demanding = settings(
        link,
        tmp_path,
        model={"bundle": str(link), "backend": "ort-cpu", "key": str(public)},
    )
    with pytest.raises(BundleError, match="not signed"):
        load_serving(demanding, None)
    sign(Bundle.open(first), key)
    watched = Watched(demanding)
    try:
        for signer, told in ((None, "not signed"), (other, "not the signature"), (key, "")):
            if signer is not None:
                sign(Bundle.open(second), signer)
            turn(link, second)
            watched.swapper.look()
            watched.swapper.look()
            kind, reason = watched.told()[-1]
            assert kind == ("swap refused" if told else "bundle swapped")
            assert told in reason
    finally:
        watched.close()


def test_a_bundle_that_is_away_is_waited_for(bundle_path: Path, tmp_path: Path) -> None:
    bundle = another(bundle_path, tmp_path / "a.denet")
    watched = Watched(settings(bundle, tmp_path))
    try:
        bundle.rename(tmp_path / "away.denet")
        for _ in range(3):
            watched.swapper.look()
        assert watched.told() == []
        another(bundle_path, bundle, tools={"new": "1"})
        watched.swapper.look()
        watched.swapper.look()
        assert [kind for kind, _ in watched.told()] == ["bundle swapped"]
    finally:
        watched.close()


def test_embeddings_that_cannot_be_compared_are_not_matched(
    bundle_path: Path, tmp_path: Path
) -> None:
    link = linked(bundle_path, tmp_path)
    made = settings(link, tmp_path, gallery={"url": str(tmp_path / "g.db"), "threshold": 0.5})
    probe = load_serving(settings(link, tmp_path), None)
    shown = crop(1.0)
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        one = probe.runtime.embed(shown.images)
        gallery.enrol(Space.of(probe.runtime.bundle.manifest), [Enrolment("al", STATES[0], one)])
    probe.runtime.close()
    watched = Watched(made, str(tmp_path / "g.db"))
    try:
        other = another(bundle_path, tmp_path / "b.denet", checkpoint_sha256="0" * 64)
        for bundle, name in ((None, "al"), (other, None), (bundle_path, "al")):
            if bundle is not None:
                turn(link, bundle)
                watched.swapper.look()
                watched.swapper.look()
                watched.told()
            watched.sink.events.clear()
            watched.embedder.embed(watched_crops(watched, shown))
            (event,) = watched.sink.events
            assert (event.match.identity if event.match else None) == name
            assert ("another model" in watched.embedder.unmatched) == (name is None)
            assert event.embedding is not None
    finally:
        watched.close()


def watched_crops(watched: Watched, shown: Crop) -> list[Crop]:
    watched.crops.put(shown)
    taken = watched.crops.take(1, 1.0, lambda _: 0.0)
    assert taken is not None
    return taken


def test_a_swap_under_load_loses_nothing(bundle_path: Path, tmp_path: Path) -> None:
    """Crops come as fast as they can be embedded, and bundles are replaced all the time: good and
    damaged ones in turn."""
    good = [another(bundle_path, tmp_path / f"{i}.denet", tools={"i": str(i)}) for i in range(2)]
    bad = another(bundle_path, tmp_path / "bad.denet", tools={"bad": "1"})
    damaged(bad)
    link = linked(good[0], tmp_path)
    watched = Watched(settings(link, tmp_path))
    swapper = threading.Thread(target=watched.swapper.run, args=(lambda: None,))
    stage = threading.Thread(target=watched.embedder.run, args=(lambda: None,))
    shown = [crop(float(i), STATES[i % len(STATES)].available) for i in range(28)]
    expected = watched.embedder.serving.runtime.embed_batch([s.images for s in shown])
    swapper.start()
    stage.start()
    put = 0
    for bundle, notice in (
        (good[1], "bundle swapped"),
        (bad, "swap refused"),
        (good[0], "bundle swapped"),
    ):
        turn(link, bundle)
        seen = len([1 for kind, _ in watched.sink.notices() if kind == notice])
        for _ in range(100_000):
            watched.crops.put(shown[put % len(shown)])
            put += 1
            if len([1 for kind, _ in watched.sink.notices() if kind == notice]) > seen:
                break
            while watched.crops.snapshot().held > 8:
                stage.join(0.001)
    watched.swapper.stop()
    swapper.join()
    watched.crops.close()
    stage.join()
    watched.close()
    assert watched.crops.snapshot() == Account(put, put, {}, 0)
    found = [event for event in watched.sink.events if event.kind == "embedding"]
    assert len(found) == put
    for number, event in enumerate(found):
        assert event.embedding is not None
        assert event.state == RGB_NIR_TIR.state(shown[number % len(shown)].images).name
        vector = event.embedding.vector()
        assert float(vector @ expected[number % len(shown)]) > 0.999
    kinds = [kind for kind, _ in watched.sink.notices()]
    assert kinds == ["bundle swapped", "swap refused", "bundle swapped"]
    assert np.all([len(event.id) > 0 for event in found])
    shutil.rmtree(bad)


def test_a_hangup_loads_the_bundle_while_frames_come(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    link = linked(bundle_path, tmp_path)
    looping = document(link, data / "test")
    for source in looping["sources"].values():
        source["loop"] = True
    said: list[str] = []
    node = Node(convert(looping), notify=said.append)
    second = another(bundle_path, tmp_path / "b.denet", tools={"new": "1"})
    signals = Signals()
    turned = False

    def report(facts: NodeSnapshot) -> None:
        nonlocal turned
        if not turned:
            turned = True
            turn(link, second)
            os.kill(os.getpid(), signal.SIGHUP)
        elif facts.swaps:
            os.kill(os.getpid(), signal.SIGTERM)

    with signals.caught():
        facts = run_node(node, report, seconds=60.0, signals=signals)
    assert facts.swaps >= 1
    assert facts.refused == 0
    assert str(second) in facts.bundle
    for account in (*facts.frames.values(), facts.triplets, facts.crops):
        assert account.balanced
        assert account.held == 0
    assert any(line.startswith(f"bundle swapped: {second}") for line in said)
