"""Folders of images: their names, the files in them, and links."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.data.records import DataError, open_data
from denet.folders import image_files, images_below, modality_of, natural_order
from denet.graph import Graph
from runtime.samples import SampleError, find_samples, in_every_state, missing_everywhere
from tests.paths import SAMPLES


@pytest.mark.parametrize(
    ("name", "modality"),
    [("RGB", "rgb"), ("ni", "nir"), ("Nir", "nir"), ("TI", "tir"), ("tir", "tir"), ("rgbir", None)],
)
def test_folders_are_told_by_their_names(name: str, modality: str | None) -> None:
    assert modality_of(name) == modality


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_images_are_told_by_their_extensions(tmp_path: Path) -> None:
    touch(tmp_path / "b.jpg", tmp_path / "a.PNG", tmp_path / "c.txt", tmp_path / "deep" / "d.tif")
    (tmp_path / "e.png").mkdir()
    assert image_files(tmp_path, DataError) == [tmp_path / "a.PNG", tmp_path / "b.jpg"]


def test_images_of_a_format_that_is_not_read_are_not_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / "RGB" / "1.png", tmp_path / "TI" / "1.heic")
    assert set(find_samples(tmp_path)[0].files) == {"rgb", "tir"}


# Order


@given(st.lists(st.text("ab_019", max_size=8), unique=True, max_size=8))
def test_names_have_one_order(names: list[str]) -> None:
    backwards = list(reversed(names))
    assert sorted(backwards, key=natural_order) == sorted(names, key=natural_order)


@given(st.lists(st.integers(0, 10**30), unique=True, max_size=8))
def test_numbers_in_names_are_ordered_by_their_value(numbers: list[int]) -> None:
    names = [f"frame_{number}.b" for number in sorted(numbers)]
    assert sorted(sorted(names), key=natural_order) == names


def test_files_and_samples_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"frame_{i}" for i in (1, 2, 3, 9, 10, 11, 20, 100)]
    for folder in ("RGB", "TI"):
        touch(*(tmp_path / folder / f"{name}.png" for name in names))
    assert [path.stem for path in image_files(tmp_path / "RGB", DataError)] == names
    assert [sample.name for sample in find_samples(tmp_path)] == names


# Names


def test_hidden_files_are_nobodys(tmp_path: Path) -> None:
    split = tmp_path / "test"
    touch(split / "RGB" / "000001_cam1_0_00.png", split / "RGB" / "._000001_cam1_0_00.png")
    touch(split / ".hidden.png", split / ".AppleDouble" / "a.png", split / "RGB" / ".DS_Store")
    assert [sample.name for sample in find_samples(split)] == ["000001_cam1_0_00"]
    assert [record.name for record in open_data(tmp_path).query] == ["000001_cam1_0_00"]


def test_a_name_is_the_same_however_unicode_writes_it(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "J\u00fcrgen_1") for form in ("NFC", "NFD"))
    assert composed != apart
    touch(tmp_path / "RGB" / f"{composed}.png", tmp_path / "TI" / f"{apart}.png")
    (sample,) = find_samples(tmp_path)
    assert sample.name == composed
    assert sample.files == {
        "rgb": tmp_path / "RGB" / f"{composed}.png",
        "tir": tmp_path / "TI" / f"{apart}.png",
    }
    touch(tmp_path / "RGB" / f"{apart}.png")
    with pytest.raises(SampleError, match="the same sample as"):
        find_samples(tmp_path)


def test_what_archives_and_systems_leave_is_nobodys(tmp_path: Path) -> None:
    split = tmp_path / "test"
    touch(split / "RGB" / "000001_cam1_0_00.JPG", split / "Thermal" / "000001_cam1_0_00.Png")
    touch(tmp_path / "__MACOSX" / "test" / "RGB" / "._000001_cam1_0_00.JPG")
    touch(split / "__MACOSX" / "RGB" / "x.png", split / "RGB" / "__MACOSX" / "y.png")
    touch(split / "Thumbs.db", split / "RGB" / ".hidden" / "z.png")
    (sample,) = find_samples(split)
    (record,) = open_data(tmp_path).query
    assert sample.name == record.name == "000001_cam1_0_00"
    assert sample.files == {m: ref.path for m, ref in record.images.items()}
    assert set(sample.files) == {"rgb", "tir"}
    assert list(images_below(split, DataError)) == [
        split / "RGB" / "000001_cam1_0_00.JPG",
        split / "Thermal" / "000001_cam1_0_00.Png",
    ]


# Links, and folders that cannot be read


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A set whose folders are links, with links in circles beside them."""
    split, elsewhere = tmp_path / "data" / "test", tmp_path / "elsewhere"
    touch(*(elsewhere / folder / "000001_cam1_0_00.png" for folder in ("RGB", "NI", "TI")))
    split.mkdir(parents=True)
    for folder in ("RGB", "NI", "TI"):
        (split / folder).symlink_to(elsewhere / folder)
    (split / "itself").symlink_to(split / "itself")
    return split


def test_links_are_followed_but_not_in_circles(linked: Path) -> None:
    (linked / "again").symlink_to(linked)
    (sample,) = find_samples(linked)
    (record,) = open_data(linked.parent).query
    assert set(sample.files) == set(record.images) == {"rgb", "nir", "tir"}


def test_images_beside_the_modalities_are_strays_behind_links_too(linked: Path) -> None:
    (linked / "more").symlink_to(linked.parent.parent / "elsewhere")
    with pytest.raises(SampleError, match=r"more/.*: in no known modality folder"):
        find_samples(linked)


def refusals(split: Path) -> list[str]:
    """What those say who read the same folder."""
    with pytest.raises(SampleError) as by_samples:
        find_samples(split)
    with pytest.raises(DataError) as by_data:
        open_data(split.parent)
    return [str(by_samples.value), str(by_data.value)]


def test_a_modality_whose_link_leads_nowhere_or_back_is_not_missing(linked: Path) -> None:
    for target in (linked / "nowhere", linked, linked / "RGB"):
        (linked / "RGB").unlink()
        (linked / "RGB").symlink_to(target)
        assert all(message.startswith(f"{linked / 'RGB'}: ") for message in refusals(linked))


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EIO])
def test_a_modality_that_cannot_be_read_is_not_missing(
    linked: Path, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refusing(path: Path) -> Any:
        if Path(path).name == "RGB":
            raise OSError(fault, os.strerror(fault), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for message in refusals(linked):
        assert message == f"{linked / 'RGB'}: cannot be read: {os.strerror(fault)}"


def test_a_folder_of_no_modality_that_must_not_be_read_is_passed_over(
    linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (linked / "lost+found").mkdir()
    scan = os.scandir

    def refusing(path: Path) -> Any:
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, "denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert len(find_samples(linked)) == 1


def test_a_linked_modality_is_one_to_samples_and_to_data_alike(tmp_path: Path) -> None:
    split = tmp_path / "data" / "test"
    split.mkdir(parents=True)
    for folder in ("RGB", "NI"):
        (split / folder).symlink_to(SAMPLES / folder)
    samples = find_samples(split)
    assert [sample.name for sample in samples] == [r.name for r in open_data(split.parent).query]
    assert all(set(sample.files) == {"rgb", "nir"} for sample in samples)


def test_samples_have_the_modalities_of_a_graph() -> None:
    graph = Graph(("rgb", "uv"))
    samples = find_samples(SAMPLES, graph)
    assert len(samples) == len(find_samples(SAMPLES))
    assert all(set(sample.files) == {"rgb"} for sample in samples)
    assert missing_everywhere(samples, graph) == ["uv"]
    assert in_every_state(samples, graph) == samples
