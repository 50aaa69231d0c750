"""Data sets on disk in each layout, and what is refused of them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.data.check import check_data
from denet.data.records import DataError, ImageRef, Record, complete, open_data
from denet.graph import RGB_NIR_TIR, Graph
from denet.pixels import to_rgb
from runtime import preprocess
from tests.denet.data.sets import (
    FOLDERS,
    RGBNT201_TEST,
    RGBNT201_TRAIN,
    noise,
    save,
    split,
    truncate,
)

MODALITIES = RGB_NIR_TIR.modalities


def facts(records: tuple[Record, ...]) -> list[tuple[str, int, int]]:
    return [(r.name, r.identity, r.camera) for r in records]


# Layouts


def test_rgbnt201_is_read(rgbnt201: Path) -> None:
    data = open_data(rgbnt201)
    assert (data.name, data.root) == ("RGBNT201", rgbnt201)
    assert facts(data.train) == [
        ("000003_cam4_1_12", 3, 3),
        ("000007_cam1_0_00", 7, 0),
        ("000007_cam2_0_00", 7, 1),
    ]
    assert facts(data.query) == [("000258_cam1_0_00", 258, 0), ("000258_cam3_0_01", 258, 2)]
    assert data.gallery is data.query
    assert data.labels() == {3: 0, 7: 1}
    assert data.query[0].images == {
        m: ImageRef(rgbnt201 / "test" / FOLDERS[m] / "000258_cam1_0_00.jpg") for m in MODALITIES
    }


def test_train_171_is_taken_before_train(rgbnt201: Path) -> None:
    split(rgbnt201 / "train", "000001_cam1_0_00")
    assert len(open_data(rgbnt201).train) == 3
    (rgbnt201 / "train_171").rename(rgbnt201 / "elsewhere")
    assert facts(open_data(rgbnt201).train) == [("000001_cam1_0_00", 1, 0)]


def test_market1501_mm_is_read_without_junk_but_with_distractors(market: Path) -> None:
    data = open_data(market)
    assert data.name == "Market1501-MM"
    assert facts(data.train) == [("0002_c1s1_000451_03", 2, 0), ("0002_c6s4_000451_03", 2, 5)]
    assert facts(data.query) == [("1501_c3s2_000001_00", 1501, 2)]
    assert facts(data.gallery) == [
        ("0000_c2s1_000151_01", 0, 1),
        ("1501_c4s2_000001_01", 1501, 3),
    ]


@pytest.mark.parametrize("below", ["rgbir", "."])
def test_rgbnt100_is_read_from_its_wide_images(rgbnt100: Path, below: str) -> None:
    root = rgbnt100 if below == "rgbir" else rgbnt100 / "rgbir"
    data = open_data(root)
    assert data.name == "RGBNT100"
    assert facts(data.train) == [("0007_c0008_012", 7, 7), ("0502_c0001_000", 502, 0)]
    assert facts(data.query) == [("0031_c0002_003", 31, 1)]
    assert facts(data.gallery) == [("0031_c0002_003", 31, 1), ("0031_c0005_001", 31, 4)]
    record = data.train[1]
    with Image.open(rgbnt100 / "rgbir/bounding_box_train/0502_c0001_000.jpg") as file:
        pixels = np.asarray(file)
    for images in (record.open(), {m: ref.open() for m, ref in record.images.items()}):
        assert tuple(images) == MODALITIES
        for i, modality in enumerate(MODALITIES):
            assert np.array_equal(images[modality], pixels[:, 256 * i : 256 * (i + 1)])


@pytest.mark.parametrize(
    "names", [("rgb", "nir", "tir"), ("Rgb", "NIR", "Tir"), ("RGB", "ni", "ti")]
)
def test_modality_folders_may_be_spelled_otherwise(tmp_path: Path, names: tuple[str, ...]) -> None:
    split(tmp_path / "test", *RGBNT201_TEST, folders=names)
    images = open_data(tmp_path).query[0].images
    assert [ref.path.parent.name for ref in images.values()] == list(names)


@pytest.mark.parametrize("kept", ["train", "test"])
def test_training_or_test_data_may_be_absent(
    rgbnt201: Path, rgbnt100: Path, market: Path, kept: str
) -> None:
    gone = {
        "train": ["test", "query", "gallery", "bounding_box_test"],
        "test": ["train", "train_171", "bounding_box_train"],
    }[kept]
    for root in (rgbnt201, rgbnt100 / "rgbir", market):
        for name in gone:
            if (root / name).is_dir():
                (root / name).rename(root / f"no_{name}")
        data = open_data(root)
        assert bool(data.train) == (kept == "train")
        assert bool(data.query) == bool(data.gallery) == (kept == "test")
        assert len(check_data(root).splits) == (1 if kept == "train" or root == rgbnt201 else 2)


def test_identity_and_camera_come_from_the_name_and_never_from_the_path(tmp_path: Path) -> None:
    root = tmp_path / "0002_c1s1_000451_03" / "000009_cam9_0_00"
    split(root / "test", "000258_cam3_0_00")
    assert facts(open_data(root).query) == [("000258_cam3_0_00", 258, 2)]


def test_labels_and_samples_do_not_depend_on_the_order_of_directories(
    rgbnt201: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(rgbnt201 / "train_171", *(f"{i:06d}_cam1_0_00" for i in (90, 20, 100, 9)))
    expected = open_data(rgbnt201)
    assert expected.labels() == {3: 0, 7: 1, 9: 2, 20: 3, 90: 4, 100: 5}
    listed: Callable[[Path], Iterator[Path]] = Path.iterdir
    for key in (str, lambda p: str(p)[::-1]):
        for reverse in (False, True):

            def shuffled(
                folder: Path, key: Callable[[Path], str] = key, reverse: bool = reverse
            ) -> Iterator[Path]:
                return iter(sorted(listed(folder), key=key, reverse=reverse))

            monkeypatch.setattr(Path, "iterdir", shuffled)
            found = open_data(rgbnt201)
            assert found == expected
            assert list(found.labels()) == list(expected.labels())


def test_a_sample_that_lacks_a_modality_is_kept_in_its_missing_state(rgbnt201: Path) -> None:
    (rgbnt201 / "test/NI/000258_cam1_0_00.jpg").unlink()
    record, other = open_data(rgbnt201).query
    assert RGB_NIR_TIR.state(record.images).name == "rgb+tir"
    assert set(record.open()) == {"rgb", "tir"}
    assert RGB_NIR_TIR.state(other.images).name == "rgb+nir+tir"
    night = other.within(RGB_NIR_TIR.parse("tir+nir"))
    assert RGB_NIR_TIR.state(night.images).name == "nir+tir"
    with pytest.raises(DataError, match=r"000258_cam1_0_00: has no nir image"):
        record.within(RGB_NIR_TIR.parse("nir+tir"))


def test_records_are_read_without_torch() -> None:
    code = "import sys, denet.data.records, denet.data.check; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What is refused


def refused(root: Path) -> str:
    with pytest.raises(DataError) as refusal:
        open_data(root)
    message = str(refusal.value)
    assert "\n" not in message
    return message


def test_a_folder_in_no_known_layout_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere")
    message = refused(tmp_path)
    assert str(tmp_path) in message
    for name in ("train_171", "test", "query", "gallery", "bounding_box_train", "rgbir"):
        assert name in message


@pytest.mark.parametrize(
    "stray",
    [
        "person.jpg",
        "258_cam1_0_00.jpg",
        "0000258_cam1_0_00.jpg",
        "000258_cam1_0_00 copy.jpg",
        "x000258_cam1_0_00.jpg",
        "0002_c1s1_000451_03.jpg.jpg",
        "-2_c1s1_000451_03.jpg",
        "٠٠٠٢٥٨_cam1_0_00.jpg",
    ],
)
def test_a_name_that_tells_no_identity_is_refused(rgbnt201: Path, stray: str) -> None:
    path = save(rgbnt201 / "test/NI" / stray, noise(0))
    assert refused(rgbnt201).startswith(f"{path}: the name tells no identity")


def test_how_many_names_tell_no_identity_is_told(rgbnt100: Path) -> None:
    for name in "bac":
        save(rgbnt100 / f"rgbir/query/{name}.png", noise(0))
    assert refused(rgbnt100).startswith(f"{rgbnt100 / 'rgbir/query/a.png'} (and 2 more): the name")


def test_files_that_are_no_images_are_passed_over(rgbnt201: Path) -> None:
    for name in ("Thumbs.db", ".DS_Store", "readme.txt"):
        (rgbnt201 / "test/RGB" / name).write_text("")
    assert len(open_data(rgbnt201).query) == 2


def test_a_sample_that_is_in_a_folder_twice_is_refused(rgbnt201: Path) -> None:
    second = save(rgbnt201 / "test/TI/000258_cam1_0_00.png", noise(0))
    message = refused(rgbnt201)
    assert str(second) in message
    assert str(second.with_suffix(".jpg")) in message


def test_two_folders_of_one_modality_are_refused(rgbnt201: Path) -> None:
    save(rgbnt201 / "test/NIR/000258_cam1_0_00.jpg", noise(0))
    assert str(rgbnt201 / "test/NIR") in refused(rgbnt201)


def test_folders_without_images_are_refused(rgbnt201: Path, rgbnt100: Path) -> None:
    for empty in (rgbnt201 / "train_171/NI", rgbnt100 / "rgbir/query"):
        for path in empty.iterdir():
            path.unlink()
    assert f"{rgbnt201 / 'train_171/NI'}: holds no images" in refused(rgbnt201)
    assert f"{rgbnt100 / 'rgbir/query'}: holds no images" in refused(rgbnt100)
    (rgbnt201 / "train_171").rename(rgbnt201 / "elsewhere")
    (rgbnt201 / "train").mkdir()
    assert f"{rgbnt201 / 'train'}: has no folder of images" in refused(rgbnt201)


@pytest.mark.parametrize("gone", ["query", "gallery"])
def test_queries_without_a_gallery_are_refused_and_the_reverse(market: Path, gone: str) -> None:
    (market / gone).rename(market / "elsewhere")
    assert f"has no {gone} images" in refused(market)


def test_two_kinds_of_test_data_are_refused(market: Path) -> None:
    split(market / "test", *RGBNT201_TEST)
    assert "test beside query" in refused(market)


def test_complete_samples_are_told_from_others(rgbnt201: Path) -> None:
    data = open_data(rgbnt201)
    assert complete(data.train, RGB_NIR_TIR) == data.train
    for name in RGBNT201_TRAIN:
        (rgbnt201 / f"train_171/TI/{name}.jpg").rename(rgbnt201 / f"{name}.jpg")
    split(rgbnt201 / "train_171", "000001_cam1_0_00", folders=["TI"])
    data = open_data(rgbnt201)
    assert complete(data.train, RGB_NIR_TIR) == ()
    two = complete(data.train, Graph(("rgb", "nir")))
    assert [record.name for record in two] == sorted(RGBNT201_TRAIN)
    assert all(list(record.images) == ["rgb", "nir"] for record in two)


def test_images_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    truncated = save(tmp_path / "truncated.jpg", noise(0))
    truncate(truncated)
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for path in (truncated, text, tmp_path / "nowhere.jpg", tmp_path):
        with pytest.raises(DataError) as refusal:
            ImageRef(path).open()
        assert str(refusal.value).startswith(f"{path}: ")
        copy = pickle.loads(pickle.dumps(refusal.value))
        assert type(copy) is DataError
        assert str(copy) == str(refusal.value)


def test_a_wide_image_whose_width_is_no_multiple_of_3_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "0502_c0001_000.jpg", noise(0, (770, 128)))
    with pytest.raises(DataError, match=r"0502_c0001_000\.jpg: its width 770 is no multiple of 3"):
        ImageRef(path, 1).open()
    assert ImageRef(path).open().size == (770, 128)


def test_images_of_every_mode_keep_their_content(tmp_path: Path) -> None:
    colours = noise(0)
    images = {
        "l.png": colours.convert("L"),
        "p.png": colours.quantize(17),
        "rgba.png": colours.convert("RGBA"),
        "cmyk.tiff": colours.convert("CMYK"),
        "i16.png": Image.fromarray(np.arange(308, dtype=np.uint16).reshape(22, 14) * 200),
    }
    for name, image in images.items():
        path = save(tmp_path / name, image)
        found = ImageRef(path).open()
        assert found.mode == image.mode
        expected = preprocess.to_pillow(path, (0, 65535)).convert("RGB")
        assert np.array_equal(to_rgb(found, (0, 65535)), expected)
