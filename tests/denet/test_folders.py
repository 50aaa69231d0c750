"""Folders of images: their names, the files in them, and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from denet.data.records import open_data
from denet.folders import image_files, modality_of
from denet.graph import Graph
from runtime.samples import find_samples, in_every_state, missing_everywhere
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
    assert image_files(tmp_path) == [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert image_files(tmp_path, deep=True)[2:] == [tmp_path / "deep" / "d.tif"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root / "a.png", elsewhere / "b.png")
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "c.png").symlink_to(elsewhere / "b.png")
    found = [root / "a.png", root / "c.png", root / "linked" / "b.png"]
    assert image_files(root, deep=True) == found


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
