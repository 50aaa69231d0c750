"""What is stored is within its bound, lasts, and is gone when it is removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.gallery import Enrolment, GalleryError, Space, open_gallery
from runtime.gallery.connecting import connect
from runtime.gallery.storage import STORAGES, Storage, decode, encode, size
from tests.runtime.gallery.people import DIM, SPACE, TIR, person, search, unit

vectors_of_floats = st.lists(st.floats(-1, 1, width=32), min_size=DIM, max_size=DIM).filter(
    lambda v: np.linalg.norm(v) > 0.1
)


@given(
    vectors=st.lists(vectors_of_floats, min_size=1, max_size=5),
    query=vectors_of_floats,
    storage=st.sampled_from(STORAGES),
)
def test_what_is_stored_is_within_its_bound(
    vectors: list[list[float]], query: list[float], storage: Storage
) -> None:
    exact = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    direction = np.array(query) / np.linalg.norm(query)
    blobs = encode(exact.astype(np.float32), storage)
    assert {len(blob) for blob in blobs} == {size(storage, DIM)}
    decoded, fine = decode(blobs, storage, DIM)
    assert fine.all()
    found = decoded.astype(np.float64)
    steps = np.abs(exact).max(axis=1) / 127
    bounds = {"float32": 1e-6, "float16": 5e-4, "int8": steps * np.sqrt(DIM)}
    error = np.abs(found @ direction - exact @ direction)
    assert np.all(error <= bounds[storage] + 1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_typical_errors_of_storage_are_far_below_their_bounds() -> None:
    people, queries = unit(500, 512), unit(50, 512, seed=1)
    truth = queries.astype(np.float64) @ people.astype(np.float64).T
    for storage, most in (("float32", 2e-7), ("float16", 1e-4), ("int8", 3e-3)):
        found, _ = decode(encode(people, storage), storage, 512)  # type: ignore[arg-type]
        assert np.abs(queries @ found.T - truth).max() < most


@pytest.mark.parametrize("storage", STORAGES)
def test_a_gallery_keeps_its_storage(path: Path, storage: Storage) -> None:
    vector = unit(1)[0]
    with open_gallery(str(path), create=True, storage=storage) as gallery:
        gallery.enrol(SPACE, [person("alice", vector)])
    with open_gallery(str(path)) as gallery:
        gallery.enrol(SPACE, [person("bob", vector)])
        cosines = [m.cosine for m in search(gallery, vector)]
    assert cosines == pytest.approx([1, 1], abs=1e-6 if storage != "int8" else 1e-4)
    other = next(s for s in STORAGES if s != storage)
    with pytest.raises(GalleryError, match=f"stores {storage}, not {other}"):
        open_gallery(str(path), storage=other)


def test_entries_keep_what_was_given(path: Path) -> None:
    given = Enrolment("Zoë", TIR, unit(1)[0], 12.5, "gate 3", {"camera": 3, "tags": ["x"]})
    with open_gallery(f"file:{path}", create=True) as gallery:
        gallery.enrol(SPACE, [given])
    with open_gallery(str(path)) as gallery:
        entry = gallery.entries("Zoë")[0]
        assert gallery.entries("nobody") == []
    assert (entry.identity, entry.state, entry.time) == ("Zoë", TIR, 12.5)
    assert (entry.source, entry.metadata, entry.space) == ("gate 3", given.metadata, SPACE)
    assert path.stat().st_mode & 0o077 == 0  # nobody else reads embeddings of people


def test_what_is_removed_is_out_of_the_file(path: Path) -> None:
    vector = unit(1, 512)[0]
    space = Space(512, "a" * 64, "")
    with open_gallery(str(path), create=True, storage="float32") as gallery:
        gallery.enrol(space, [person("alice", vector), person("bob", -vector)])
        gallery.enrol(space, [person("alice", vector)])
        assert gallery.remove("alice", entry=3) == 1
        assert gallery.remove("alice") == 1
        left = b"".join(p.read_bytes() for p in path.parent.iterdir())
        assert vector.tobytes()[:64] not in left
        assert (-vector).tobytes()[:64] in left
        assert [e.identity for e in gallery.entries()] == ["bob"]


def test_every_commit_is_synced_and_every_removal_overwritten(path: Path) -> None:
    """A loss of power cannot be tested here; that SQLite is asked for what survives it can."""
    open_gallery(str(path), create=True).close()
    connection = connect(path)
    asked = {
        pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        for pragma in ("journal_mode", "synchronous", "secure_delete", "trusted_schema")
    }
    connection.close()
    extra = 3  # the folder, too, once the journal is gone
    assert asked == {
        "journal_mode": "delete", "synchronous": extra, "secure_delete": 1, "trusted_schema": 0
    }  # fmt: skip
