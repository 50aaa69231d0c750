"""One bit that is wrong, anywhere in a file: it is told, or the answers are what they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.gallery import Entry, Gallery, GalleryError, Match, open_gallery
from runtime.gallery.index import Index
from runtime.gallery.ranking import rank
from runtime.gallery.storage import STORAGES
from tests.runtime.gallery.people import COMPLETE, DIM, SPACE, STATES, person, unit

PEOPLE = 6

FLIPS = 1000


def fill(path: Path, storage: str) -> None:
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        for i, vector in enumerate(unit(PEOPLE)):
            gallery.enrol(SPACE, [person(f"p{i}", vector, STATES[i])])
        gallery.remove("p2")


def answers(path: Path) -> tuple[list[list[Match]], list[Entry]]:
    with open_gallery(str(path)) as gallery:
        return (
            gallery.search(SPACE, unit(4, seed=1), [COMPLETE] * 4),
            gallery.entries(),
        )


def flipped(content: bytes, bit: int) -> bytes:
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def bits(content: bytes, count: int) -> list[int]:
    """Half of them anywhere, half where something is written."""
    chance = np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(content, np.uint8))
    return [
        *chance.integers(0, 8 * len(content), count // 2).tolist(),
        *(8 * chance.choice(used, count // 2) + chance.integers(0, 8, count // 2)).tolist(),
    ]


@pytest.mark.parametrize("storage", STORAGES)
def test_no_flipped_bit_changes_an_answer(path: Path, storage: str) -> None:
    fill(path, storage)
    right, content = answers(path), path.read_bytes()
    told: list[str] = []
    for bit in bits(content, FLIPS):
        path.write_bytes(flipped(content, bit))
        try:
            assert answers(path) == right, bit
        except GalleryError as error:
            told.append(str(error))
    assert len(told) > FLIPS / 10
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in told)


def test_a_damaged_gallery_is_not_written_to(path: Path) -> None:
    """What is enrolled next is told as refused, or there; the others stay."""
    fill(path, "float32")
    right, content = answers(path), path.read_bytes()
    refused = 0
    for bit in bits(content, FLIPS // 2):
        path.write_bytes(flipped(content, bit))
        try:
            with open_gallery(str(path)) as gallery:
                gallery.enrol(SPACE, [person("new", -unit(1, seed=9)[0])])
        except GalleryError:
            refused += 1
        else:
            assert [e for e in answers(path)[1] if e.identity != "new"] == right[1], bit
    assert refused > FLIPS / 20


def test_a_running_gallery_tells_what_was_damaged_behind_it(path: Path, gallery: Gallery) -> None:
    gallery.enrol(SPACE, [person("alice", unit(1)[0])])
    good = path.read_bytes()
    assert gallery.search(SPACE, unit(1), [COMPLETE])[0][0].identity == "alice"
    place = good.index(unit(1)[0].tobytes())
    path.write_bytes(flipped(good, 8 * place + 6))
    for _ in range(3):
        with pytest.raises(GalleryError, match=r"entry 1 \('alice'\) is damaged: restore"):
            gallery.search(SPACE, unit(1), [COMPLETE])
    path.write_bytes(good)
    assert gallery.search(SPACE, unit(1), [COMPLETE])[0][0].identity == "alice"


def test_an_entry_that_is_there_twice_or_not_at_all_is_told(path: Path) -> None:
    fill(path, "float16")
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM entries WHERE id = 4")
    raw.close()
    with pytest.raises(GalleryError, match="of 5 entries that it should have, 4 were found"):
        answers(path)


def test_entries_of_another_gallery_are_damage(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    fill(path, "float16")
    fill(other, "float16")
    with sqlite3.connect(path) as raw:
        raw.execute("ATTACH ? AS other", (str(other),))
        raw.execute("DELETE FROM main.entries")
        raw.execute("INSERT INTO main.entries SELECT * FROM other.entries")
    raw.close()
    with pytest.raises(GalleryError, match="is damaged"):
        answers(path)


@pytest.mark.parametrize(
    ("storage", "embedding"),
    [
        ("float16", b"\x00\x7e" * DIM),  # not a number
        ("float16", b"\x00\x7c" * DIM),  # infinite
        ("float32", b"\x00" * 4 * DIM),
        ("float32", np.full(DIM, 1e38, "<f4").tobytes()),
        ("int8", b"\x40" * DIM),
    ],
)
def test_a_right_checksum_of_a_wrong_embedding_does_not_pass(
    path: Path, storage: str, embedding: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.gallery import rows

    def wrong(vectors: Any, _storage: Any) -> list[bytes]:
        return [embedding] * len(vectors)

    monkeypatch.setattr(rows, "encode", wrong)
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])
        with pytest.raises(GalleryError, match="entry 1"):
            gallery.search(SPACE, unit(1), [COMPLETE])


def test_a_ranking_ends_whatever_the_cosines_are() -> None:
    index = Index(DIM)
    index.extend(unit(9), np.arange(9), np.arange(9) // 2, [COMPLETE] * 9)
    for cosines in (np.full(9, np.nan), np.r_[np.nan, np.linspace(0, 1, 8)], np.full(9, 7e37)):
        for top in (1, 5, 20):
            found = rank(index, cosines.astype(np.float32), COMPLETE, top, None)
            assert not any(abs(hit.cosine) > 1 for hit in found)
    index.close()
