"""One spelling for each name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.gallery import Gallery, GalleryError
from runtime.gallery.names import checked_name, spelled
from tests.runtime.gallery.people import SPACE, person, search, unit

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def test_a_name_is_one_however_it_is_written(gallery: Gallery) -> None:
    for name, vector in zip((COMPOSED, DECOMPOSED), unit(2), strict=True):
        gallery.enrol(SPACE, [person(name, vector)])
    assert [e.identity for e in gallery.entries(DECOMPOSED)] == [COMPOSED] * 2
    assert [m.identity for m in search(gallery, unit(1)[0])] == [COMPOSED]
    assert gallery.remove(DECOMPOSED, entry=1) == 1
    assert gallery.remove(DECOMPOSED) == 1
    assert gallery.entries() == []


@given(st.text(min_size=1, max_size=20))
def test_spelling_is_that_of_unicode(name: str) -> None:
    forms = {spelled(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}
    assert forms == {unicodedata.normalize("NFC", name)}


@pytest.mark.parametrize("name", ["李雷", "Ünal O'Brien-Ńowak", "משה", "Alice", "000258", "a b"])
def test_names_of_people_pass(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "  ", " alice", "alice ", "a\nb", "a\0b", "a\u200bb", "\udcff", "a\x1b[1mb", "x" * 257,
     "\u202ealice", "y" * 10**6],
)  # fmt: skip
def test_what_is_no_name_is_one_short_line(name: str, gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"name|space") as caught:
        gallery.enrol(SPACE, [person(name, unit(1)[0])])
    line = str(caught.value)
    assert len(line) < 200
    assert line.isprintable()
    assert gallery.entries() == []
