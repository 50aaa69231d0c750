"""`denet node init`: what it writes can be run, and what it cannot write is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import read_settings
from runtime.node.initial import Answers, _rate, node_text
from runtime.node.questions import Given, begin
from runtime.runtime import Runtime
from tests.command import denet, refused
from tests.paths import DOCS, SAMPLES
from tests.runtime.gallery.people import COMPLETE, table_of
from tests.runtime.node.parts import MODALITIES

SOURCES = [word for m in MODALITIES for word in ("--source", f"{m}=folder:{SAMPLES}")]

GOOD = ("--bundle", "{bundle}", "--source", "rgb=rtsp://x", "--boxes", "motion")


@pytest.fixture
def known(runtime: Runtime, tmp_path: Path) -> Path:
    """A gallery with somebody in it."""
    path = tmp_path / "g.db"
    one = runtime.embed({"rgb": next((SAMPLES / "RGB").iterdir())})
    with open_gallery(str(path), create=True) as gallery:
        space = Space.of(runtime.bundle.manifest)
        gallery.enrol(space, [Enrolment("alice", runtime.graph.parse("rgb"), one)])
    return path


def test_what_it_writes_passes_a_check(
    scored_path: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "node.toml"
    command = ("node", "init", config, "--bundle", scored_path, *SOURCES, "--rate", 10)
    done = denet(*command, "--boxes", "crops", "--gallery", known, "--name", "gate-3", "--port", 0)
    assert done.exit_code == 0, done.output
    assert f"next: denet node check {config}" in done.stdout
    checked = denet("node", "check", config)
    assert checked.exit_code == 0, checked.output
    found = read_settings(config)
    assert found.name == "gate-3"
    assert found.gallery is not None
    assert found.gallery.threshold is None
    assert "#" in config.read_text()
    refused(denet(*command), "node.toml: exists")


@pytest.mark.parametrize("boxes", ["motion", "detector:d.onnx", "file:b.jsonl", "call:m:f"])
@pytest.mark.parametrize("scored", [True, False])
def test_all_that_can_be_answered_is_read_back(boxes: str, scored: bool) -> None:
    scores = table_of({(COMPLETE, COMPLETE): [0.1, 0.2]}) if scored else None
    answers = Answers(
        name="a",
        bundle='with "quotes" \\ and ü',
        sources={"rgb": "rtsp://camera/live", "tir": "folder:night"},
        rate=12.5,
        loop=True,
        boxes=boxes,
        gallery="g.db",
        threshold=None if scored else 0.9,
        port=None,
        scores=scores,
    )
    text = node_text(answers)
    found = msgspec.toml.decode(text)
    assert found["model"]["bundle"] == answers.bundle
    assert found["sources"]["rgb"] == {"url": "rtsp://camera/live"}, "a camera has its own pace"
    assert found["sources"]["tir"] == {"url": "folder:night", "rate": 12.5, "loop": True}
    assert "tracks" in found
    assert ("fmr" in found["tracks"]) == scored
    assert ("fmr" in found["gallery"]) == scored
    assert "status" not in found


@pytest.mark.parametrize(
    ("impostors", "rate"), [(10**6, 0.001), (30_000, 0.001), (29_000, 0.0011), (700, 0.043)]
)
def test_the_rate_is_the_usual_one_or_the_least_that_can_be_told(
    impostors: int, rate: float
) -> None:
    scores = table_of({(COMPLETE, COMPLETE): [0.1, 0.2]})
    (row,) = scores.table.pairs.values()
    (pair,) = row.values()
    fewer = {COMPLETE.name: {COMPLETE.name: msgspec.structs.replace(pair, impostors=impostors)}}
    table = msgspec.structs.replace(scores.table, pairs=fewer)
    found = _rate(0.001, type(scores)(table, "s.json"))
    assert found == pytest.approx(rate)
    assert type(scores)(table, "s.json").threshold(found) > 0


def test_several_heads_have_sources_of_their_own(bundle_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    command = ("node", "init", config, "--bundle", bundle_path, "--heads", "east, west")
    sources = ("east/tir=folder:t", "west/rgb=rtsp://camera/live", "east/rgb=folder:r")
    options = [word for source in sources for word in ("--source", source)]
    done = denet(*command, *options, "--rate", 5, "--boxes", "motion")
    assert done.exit_code == 0, done.output
    east, west = read_settings(config).heads
    assert (east.name, west.name) == ("east", "west")
    assert {m: s.url for m, s in east.sources.items()} == {"rgb": "folder:r", "tir": "folder:t"}
    assert (east.sources["rgb"].rate, west.sources["rgb"].rate) == (5, None)
    assert all(head.boxes.motion and head.tracks for head in (east, west))


def test_questions_are_asked_for_each_head(bundle_path: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str, _usual: str) -> str:
        asked.append(question)
        return "rtsp://c/live" if question.startswith("Source of tir") else ""

    given = Given("a", bundle_path, heads=["east", "west"], boxes="motion")
    begin(tmp_path / "n.toml", given, ask)
    heads = read_settings(tmp_path / "n.toml").heads
    assert [list(head.sources) for head in heads] == [["tir"], ["tir"]]
    assert sum(" of east, as " in question for question in asked) == 3
    assert len([q for q in asked if q.startswith("Source of")]) == 6


def test_questions_fill_in_what_is_missing(bundle_path: Path, known: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    answers: Iterator[str] = iter(
        [str(bundle_path), f"folder:{SAMPLES}", "", "folder:tir", "8", "motion", str(known), "0.8"]
    )

    def ask(question: str, usual: str) -> str:
        asked.append(question)
        return next(answers) or usual

    begin(tmp_path / "n.toml", Given("a"), ask)
    found = read_settings(tmp_path / "n.toml")
    assert list(found.sources) == ["rgb", "tir"]
    assert found.sources["tir"].rate == 8
    assert found.boxes.motion is not None
    assert found.gallery is not None
    assert found.gallery.threshold == 0.8
    assert len(asked) == 8
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["--bundle: is missing"]),
        (("--bundle", DOCS), ["not a bundle"]),
        (("--bundle", "{bundle}"), ["--source: is missing", "--source rgb=URL"]),
        (("--bundle", "{bundle}", "--source", "uv=x"), ["--source uv=x", "rgb, nir, tir"]),
        (("--bundle", "{bundle}", "--source", "rgb=folder:x"), ["--rate: is missing"]),
        (("--bundle", "{bundle}", "--source", "rgb=rtsp://x"), ["--boxes: is missing"]),
        (
            ("--bundle", "{bundle}", "--source", "rgb=rtsp://x", "--boxes", "eyes"),
            ["boxes: 'eyes'", "motion"],
        ),
        (
            (*GOOD, "--gallery", "g.db"),
            ["carries no scores", "--threshold"],
        ),
        ((*GOOD, "--heads", "a"), ["--source rgb=rtsp://x: write HEAD/rgb=URL"]),
        ((*GOOD, "--source", "a/rgb=rtsp://x"), ["--source a/rgb=rtsp://x: write rgb=URL"]),
        (
            ("--bundle", "{bundle}", "--heads", "a,b", "--source", "a/rgb=rtsp://x"),
            ["--source: is missing for b: give one at least, as --source b/rgb=URL"],
        ),
        ((*GOOD, "--heads", "a,a"), ["--heads: two are called a"]),
        (
            (
                "--bundle",
                "{bundle}",
                "--heads",
                "a b",
                "--source",
                "a b/rgb=rtsp://x",
                "--boxes",
                "motion",
            ),
            ["heads.a b.name: 'a b': take letters"],
        ),
        (
            (*GOOD, "--name", "a b"),
            ["name: 'a b'"],
        ),
    ],
)
def test_what_is_missing_or_wrong_is_one_line_and_writes_nothing(
    arguments: tuple[object, ...], words: list[str], bundle_path: Path, tmp_path: Path
) -> None:
    filled = [bundle_path if a == "{bundle}" else a for a in arguments]
    refused(denet("node", "init", tmp_path / "n.toml", *filled), *words)
    assert list(tmp_path.iterdir()) == []
