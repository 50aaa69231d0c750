"""Kept graphs give the same bits, and nothing that is not ours stands in an engine's place."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.backends.onnxruntime.graph_cache as graph_cache
from calibration import Outcome
from runtime import Bundle, Runtime
from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.graph_cache import SUFFIX, UNUSED, GraphCache
from runtime.machine.key import key_path
from tests.command import denet, refused
from tests.paths import SAMPLES

ENGINE = "ab" * 32


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def calibrated(outcome: Outcome) -> Bundle:
    return outcome.bundle


def everything(bundle: Bundle, precision: str, cache: Path | None) -> NDArray[np.float32]:
    """The golden embeddings of all states, each by one sample."""
    with Runtime.load(bundle, "ort-cpu", precision, cache=cache) as loaded:
        loaded.check()
        random = np.random.default_rng(0)
        sample = {
            m: random.integers(0, 256, (64, 32, 3), np.uint8) for m in loaded.graph.modalities
        }
        return np.stack(
            [loaded.embed({m: sample[m] for m in s.available}) for s in loaded.graph.states]
        )


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_kept_graph_gives_the_same_bits(
    calibrated: Bundle, tmp_path: Path, precision: str
) -> None:
    cache = tmp_path / "cache"
    plain = everything(calibrated, precision, None)
    filling = everything(calibrated, precision, cache)
    kept = {path: path.read_bytes() for path in cache.iterdir()}
    assert len(kept) == len(calibrated.graph.engines)
    again = everything(calibrated, precision, cache)
    assert np.array_equal(plain, filling)
    assert np.array_equal(plain, again)
    assert {path: path.read_bytes() for path in cache.iterdir()} == kept
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)


def test_a_graph_that_is_there_is_taken(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    everything(bundle, "fp32", cache)
    monkeypatch.setattr(
        Bundle, "read_engine", lambda *_: pytest.fail("an engine is read that is kept optimized")
    )
    everything(bundle, "fp32", cache)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def strange(path: Path) -> None:
    path.write_bytes(b"\xff" * 1000)


def made_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [flipped, cut, emptied, strange])
def test_what_is_damaged_is_made_anew(
    bundle: Bundle, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    cache = tmp_path / "cache"
    plain = everything(bundle, "fp32", cache)
    for path in cache.iterdir():
        damage(path)
    damaged = {path: path.read_bytes() for path in cache.iterdir()}
    assert np.array_equal(everything(bundle, "fp32", cache), plain)
    # The bytes are not those of before: names within a graph differ from run to run.
    assert set(cache.iterdir()) == set(damaged)
    assert all(path.read_bytes() != content for path, content in damaged.items())
    assert np.array_equal(everything(bundle, "fp32", cache), plain)


def test_a_graph_of_another_engine_release_or_machine_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = GraphCache(tmp_path / "cache")
    cache.keep(ENGINE, b"graph")
    assert cache.find(ENGINE) == b"graph"
    assert cache.find("cd" * 32) is None
    (kept,) = (tmp_path / "cache").iterdir()
    # Under another's name it is another's.
    monkeypatch.setattr(graph_cache, "_name", lambda _: "e" * 64 + SUFFIX)
    kept.rename(kept.with_name("e" * 64 + SUFFIX))
    assert cache.find(ENGINE) is None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cache.keep(ENGINE, b"graph")
    monkeypatch.setattr(graph_cache.ort, "__version__", "9.9.9")
    assert cache.find(ENGINE) is None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert cache.find(ENGINE) == b"graph"
    key_path().write_bytes(bytes(32))  # as on another machine
    assert cache.find(ENGINE) is None
    key_path().unlink()
    assert cache.find(ENGINE) is None


def test_a_pipe_in_its_place_does_not_hang(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path / "cache")
    cache.keep(ENGINE, b"graph")
    (kept,) = (tmp_path / "cache").iterdir()
    made_a_pipe(kept)
    assert cache.find(ENGINE) is None


def test_what_nobody_uses_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = GraphCache(folder)
    cache.keep(ENGINE, b"graph")
    (old,) = folder.iterdir()
    others = [folder / "notes.txt", folder / f"short{SUFFIX}"]
    for path in others:
        path.write_text("keep me")
    long_ago = time.time() - UNUSED - 60
    for path in (old, *others):
        os.utime(path, (long_ago, long_ago))
    cache.keep("cd" * 32, b"another")
    assert not old.exists()
    assert all(path.read_text() == "keep me" for path in others)


def test_a_graph_that_is_in_use_stays(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path / "cache")
    cache.keep(ENGINE, b"graph")
    (used,) = (tmp_path / "cache").iterdir()
    long_ago = time.time() - UNUSED - 60
    os.utime(used, (long_ago, long_ago))
    assert cache.find(ENGINE) == b"graph"
    cache.keep("cd" * 32, b"another")
    assert used.exists()


def test_a_disk_that_fills_up_costs_the_cache_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(graph_cache, "written_whole", full)
    cache = tmp_path / "cache"
    plain = everything(bundle, "fp32", None)
    assert np.array_equal(everything(bundle, "fp32", cache), plain)
    assert list(cache.iterdir()) == []


def test_a_graph_that_onnx_runtime_cannot_write_costs_the_cache_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def nowhere(*_: object) -> Iterator[Path]:
        yield tmp_path / "no" / "such" / "folder" / "graph.onnx"

    plain = everything(bundle, "fp32", None)
    monkeypatch.setattr(GraphCache, "keeping", nowhere)
    assert np.array_equal(everything(bundle, "fp32", tmp_path / "cache"), plain)


def test_a_place_that_cannot_be_written_is_an_error_at_once(
    bundle_path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("keep me")
    with pytest.raises(BackendError, match="file"):
        GraphCache(file)
    refused(denet("embed", bundle_path, SAMPLES, "--cache", file), str(file))
    assert file.read_text() == "keep me"


def test_embed_fills_a_cache(bundle_path: Path, tmp_path: Path) -> None:
    done = denet("embed", bundle_path, SAMPLES, "--cache", tmp_path / "cache")
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "cache").glob(f"*{SUFFIX}"))
