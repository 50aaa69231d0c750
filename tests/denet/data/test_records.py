"""Data sets on disk in each layout, damaged ones, their augmentation, batches and loading."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from denet.config import ConfigError, ModelConfig, Normalization
from denet.data.check import SplitReport, check_data, report_table
from denet.data.dataset import EvaluationSet, TrainingSet
from denet.data.records import DataError, ImageRef, Record, complete, open_data
from denet.data.sampler import Draw, IdentitySampler
from denet.data.transforms import (
    AugmentConfig,
    TrainingTransform,
    evaluation_transform,
)
from denet.graph import RGB_NIR_TIR, Modality
from denet.pixels import to_rgb
from runtime import preprocess
from runtime.bundle.manifest import Normalization as Normalized
from runtime.bundle.manifest import Preprocessing

MODALITIES = RGB_NIR_TIR.modalities

# No 8-bit value becomes exactly 0 with these means: what is 0 was erased.
CONFIG = ModelConfig(
    image_size=(32, 16),
    normalization={"tir": Normalization(mean=(0.4444,) * 3, std=(0.31,) * 3, range16=(7000, 9000))},
)
SAME = ModelConfig(image_size=(32, 16))
HEIGHT, WIDTH = CONFIG.image_size
OFF = AugmentConfig(flip=0, pad=0, erase=0)
FOLDERS: dict[Modality, str] = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
SPELLED = tuple(FOLDERS.values())

RGBNT201_TRAIN = ("000007_cam1_0_00", "000007_cam2_0_00", "000003_cam4_1_12")
RGBNT201_TEST = ("000258_cam1_0_00", "000258_cam3_0_01")


def noise(seed: int, size: tuple[int, int] = (14, 22)) -> Image.Image:
    """An image of (width, height) with random content."""
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    )


def save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def split(folder: Path, *names: str, folders: Sequence[str] = SPELLED) -> None:
    """Samples in the layout of RGBNT201, with another content in every file."""
    for i, name in enumerate(names):
        for j, modality in enumerate(folders):
            save(folder / modality / f"{name}.jpg", noise(10 * i + j))


def wide(folder: Path, *names: str, width: int = 768) -> None:
    """Samples in the layout of RGBNT100."""
    for i, name in enumerate(names):
        save(folder / f"{name}.jpg", noise(i, (width, 128)))


@pytest.fixture
def rgbnt201(tmp_path: Path) -> Path:
    root = tmp_path / "RGBNT201"
    split(root / "train_171", *RGBNT201_TRAIN)
    split(root / "test", *RGBNT201_TEST)
    return root


@pytest.fixture
def rgbnt100(tmp_path: Path) -> Path:
    root = tmp_path / "RGBNT100"
    wide(root / "rgbir/bounding_box_train", "0502_c0001_000", "0007_c0008_012")
    wide(root / "rgbir/query", "0031_c0002_003")
    wide(root / "rgbir/bounding_box_test", "0031_c0002_003", "0031_c0005_001")
    return root


@pytest.fixture
def market(tmp_path: Path) -> Path:
    root = tmp_path / "Market1501-MM"
    split(root / "train", "0002_c1s1_000451_03", "0002_c6s4_000451_03")
    split(root / "query", "1501_c3s2_000001_00")
    split(
        root / "gallery",
        "1501_c4s2_000001_01",
        "-1_c1s1_000401_03",
        "0000_c2s1_000151_01",
    )
    return root


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
        "._000258_cam1_0_00.jpg",
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


def test_training_on_incomplete_samples_is_refused(rgbnt201: Path) -> None:
    data = open_data(rgbnt201)
    assert complete(data.train) == data.train
    for name in RGBNT201_TRAIN:
        (rgbnt201 / f"train_171/TI/{name}.jpg").rename(rgbnt201 / f"{name}.jpg")
    split(rgbnt201 / "train_171", "000001_cam1_0_00", folders=["TI"])
    data = open_data(rgbnt201)
    with pytest.raises(DataError) as refusal:
        complete(data.train)
    message = str(refusal.value)
    assert message.startswith(
        "4 of 4 training samples lack a modality: 000001_cam1_0_00 (no rgb and nir), "
        "000003_cam4_1_12 (no tir), 000007_cam1_0_00 (no tir), ...: training needs all three"
    )
    transform = TrainingTransform(CONFIG, OFF)
    with pytest.raises(DataError, match="4 of 4"):
        TrainingSet(data.train, data.labels(), transform, seed=0)


def test_an_identity_without_a_class_is_refused(rgbnt201: Path) -> None:
    data = open_data(rgbnt201)
    with pytest.raises(DataError, match="000007_cam1_0_00: its identity 7"):
        TrainingSet(data.train, {3: 0}, TrainingTransform(CONFIG, OFF), seed=0)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


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


# The check


def test_a_sound_data_set_has_neither_problems_nor_notes(rgbnt201: Path) -> None:
    told: list[tuple[int, int]] = []
    report = check_data(rgbnt201, lambda done, total: told.append((done, total)))
    assert told == [(i, 5) for i in range(1, 6)]
    assert report.problems == []
    assert report.notes == []
    size = ((14, 22),) * 3
    assert report.splits == (
        SplitReport("train", 3, 2, 3, {"rgb+nir+tir": 3}, size),
        SplitReport("test", 2, 1, 2, {"rgb+nir+tir": 2}, size),
    )


def test_query_and_gallery_are_reported_apart(rgbnt100: Path, market: Path) -> None:
    report = check_data(rgbnt100)
    assert [s.name for s in report.splits] == ["train", "query", "gallery"]
    assert {s.sizes for s in report.splits} == {((256, 128),) * 3}
    assert report.problems == []
    assert check_data(market).problems == []


def test_every_kind_of_damage_is_reported(rgbnt201: Path) -> None:
    train, test = rgbnt201 / "train_171", rgbnt201 / "test"
    (train / "NI/000007_cam1_0_00.jpg").unlink()
    truncate(train / "RGB/000007_cam2_0_00.jpg")
    (test / "TI/000258_cam3_0_01.jpg").write_text("no image")
    save(test / "TI/000258_cam1_0_00.jpg", noise(0, (28, 40)))
    # 7 is in training as well, and only camera 2 sees it; 300 has two images from camera 1.
    split(test, "000007_cam2_0_00", "000300_cam1_0_00", "000300_cam1_0_01")
    report = check_data(rgbnt201)
    leak, alone, unpaired, truncated, text = report.problems
    assert leak.startswith("1 identity (7) in both training and test")
    assert alone.startswith("2 identities (7, 300) seen by no second camera in the gallery: 3 of 5")
    assert unpaired == "train: 000007_cam1_0_00: no nir"
    assert truncated.startswith(f"{train / 'RGB/000007_cam2_0_00.jpg'}: cannot be read")
    assert text.startswith(f"{test / 'TI/000258_cam3_0_01.jpg'}: not an image")
    assert report.notes == ["test: 000258_cam1_0_00: sizes differ: rgb 14x22, nir 14x22, tir 28x40"]
    trained, tested = report.splits
    assert trained.states == {"rgb+nir+tir": 2, "rgb+tir": 1}
    assert tested.sizes == ((14, 22), (14, 22), (28, 40))


def test_a_query_that_only_its_own_camera_saw_is_reported(market: Path) -> None:
    split(market / "query", "1501_c4s2_000001_02")
    (problem,) = check_data(market).problems
    assert problem.startswith("1 identity (1501) seen by no second camera in the gallery: 1 of 2")


def test_wide_images_that_cannot_be_split_are_reported_once(rgbnt100: Path) -> None:
    wide(rgbnt100 / "rgbir/bounding_box_train", "0003_c0001_000", width=767)
    (problem,) = check_data(rgbnt100).problems
    assert "0003_c0001_000.jpg: its width 767 is no multiple of 3" in problem


def test_the_report_is_printed_with_a_limited_number_of_lines(tmp_path: Path) -> None:
    split(tmp_path / "test", *(f"{i:06d}_cam1_0_00" for i in range(30)), folders=["RGB"])
    console = Console(file=io.StringIO(), width=200)
    console.print(report_table(check_data(tmp_path)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "31 problems" in text
    assert "30 identities (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...) seen by no second" in text
    assert "... and 11 more" in text
    assert "no notes" in text
    assert "rgb 30" in text
    assert "14x22, 14x22, 14x22" in text


# Augmentation


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images_of(seed: int = 0, size: tuple[int, int] = (14, 22)) -> dict[Modality, Image.Image]:
    return {m: noise(seed + i, size) for i, m in enumerate(MODALITIES)}


def same_image(seed: int = 0) -> dict[Modality, Image.Image]:
    return dict.fromkeys(MODALITIES, noise(seed))


def plain(images: dict[Modality, Image.Image], config: ModelConfig) -> dict[Modality, Tensor]:
    return {m: evaluation_transform(config, m)(image) for m, image in images.items()}


@pytest.mark.parametrize("size", [(14, 22), (16, 32), (300, 200), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_without_augmentation_training_sees_what_evaluation_sees(
    size: tuple[int, int], mode: str
) -> None:
    images = {
        m: i.quantize(9) if mode == "P" else i.convert(mode) for m, i in images_of(0, size).items()
    }
    found = TrainingTransform(CONFIG, OFF)(images, generator(0))
    for modality, expected in plain(images, CONFIG).items():
        assert found[modality].dtype == torch.float32
        assert type(found[modality]) is Tensor
        assert torch.equal(found[modality], expected)


def test_the_geometric_part_is_the_same_in_all_modalities() -> None:
    transform = TrainingTransform(SAME, AugmentConfig(pad=5))
    seen = set()
    for seed in range(200):
        rgb, nir, tir = transform(same_image(), generator(seed)).values()
        assert torch.equal(rgb, nir)
        assert torch.equal(rgb, tir)
        seen.add(rgb.numpy().tobytes())
    assert len(seen) > 150


def test_the_same_generator_gives_the_same_images() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(pad=5, brightness=0.4, contrast=0.4))
    first, again, other = (transform(images_of(), generator(seed)) for seed in (1, 1, 2))
    for modality in MODALITIES:
        assert torch.equal(first[modality], again[modality])
        assert not torch.equal(first[modality], other[modality])


def test_what_is_drawn_does_not_depend_on_the_modalities_that_are_given() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(pad=5, brightness=0.4, contrast=0.4))
    everything = transform(images_of(), generator(3))
    alone = transform({"tir": images_of()["tir"]}, generator(3))
    assert torch.equal(alone["tir"], everything["tir"])


def test_a_flip_mirrors_the_columns_as_often_as_it_should() -> None:
    images = images_of()
    normal = plain(images, CONFIG)
    always = TrainingTransform(CONFIG, AugmentConfig(flip=1, pad=0, erase=0))
    for modality, tensor in always(images, generator(0)).items():
        assert np.array_equal(tensor.numpy(), normal[modality].numpy()[:, :, ::-1])
    often = TrainingTransform(CONFIG, AugmentConfig(flip=0.7, pad=0, erase=0))
    count = sum(
        not torch.equal(often(images, generator(seed))["rgb"], normal["rgb"]) for seed in range(400)
    )
    assert 240 < count < 320


def test_a_shift_is_a_crop_of_the_image_padded_with_black() -> None:
    images = images_of()
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=2, erase=0))
    shifted: dict[Modality, dict[bytes, tuple[int, int]]] = {m: {} for m in MODALITIES}
    for modality, image in images.items():
        small = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        padded = np.pad(small, ((2, 2), (2, 2), (0, 0)))
        for top in range(5):
            for left in range(5):
                crop = Image.fromarray(padded[top : top + HEIGHT, left : left + WIDTH])
                expected = evaluation_transform(CONFIG, modality)(crop)
                shifted[modality][expected.numpy().tobytes()] = top, left
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(500):
        found = transform(images, generator(seed))
        (offset,) = {shifted[m][found[m].numpy().tobytes()] for m in MODALITIES}
        counts[offset] += 1
    assert len(counts) == 25
    assert min(counts.values()) > 5


def box(tensor: Tensor) -> tuple[int, int, int, int]:
    """The box (top, left, height, width) that is zero, which must be all that is zero."""
    zero = (tensor == 0).numpy()
    assert (zero == zero[0]).all()
    rows, columns = np.flatnonzero(zero[0].any(axis=1)), np.flatnonzero(zero[0].any(axis=0))
    height, width = len(rows), len(columns)
    assert zero[0].sum() == height * width
    assert (np.diff(rows) == 1).all()
    assert (np.diff(columns) == 1).all()
    return int(rows[0]), int(columns[0]), height, width


def test_a_box_is_erased_to_the_mean_at_the_same_place_in_all_modalities() -> None:
    images = images_of()
    normal = plain(images, CONFIG)
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=0, erase=1))
    boxes = []
    for seed in range(300):
        found = transform(images, generator(seed))
        ((top, left, height, width),) = {box(tensor) for tensor in found.values()}
        for modality, tensor in found.items():
            expected = normal[modality].numpy().copy()
            expected[:, top : top + height, left : left + width] = 0
            assert np.array_equal(tensor.numpy(), expected)
        boxes.append((top, left, top + height, left + width))
    areas = [(b - t) * (r - left) / (HEIGHT * WIDTH) for t, left, b, r in boxes]
    assert 0.01 < min(areas) < 0.04
    assert 0.36 < max(areas) < 0.43
    # Every border is reached, so the box is nowhere kept away from the edge.
    assert min(b[0] for b in boxes) == min(b[1] for b in boxes) == 0
    assert max(b[2] for b in boxes) == HEIGHT
    assert max(b[3] for b in boxes) == WIDTH


def test_a_box_is_erased_as_often_as_it_should() -> None:
    transform = TrainingTransform(CONFIG, AugmentConfig(flip=0, pad=0, erase=0.3))
    count = sum(
        bool((transform(images_of(), generator(seed))["rgb"] == 0).any()) for seed in range(400)
    )
    assert 90 < count < 150


@settings(deadline=None, max_examples=100)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    area=st.floats(0.001, 1),
    seed=st.integers(0, 2**32),
)
def test_an_erased_box_has_its_area_in_images_of_every_shape(
    height: int, width: int, area: float, seed: int
) -> None:
    config = ModelConfig(image_size=(height, width))
    augment = AugmentConfig(flip=0, pad=0, erase=1, erase_area=(area, area))
    found = TrainingTransform(config, augment)({"rgb": noise(0)}, generator(seed))
    _, _, h, w = box(found["rgb"])
    # Each side is rounded by at most half a pixel, and is a pixel at least.
    pixels = area * height * width
    assert (h - 0.5) * (w - 0.5) <= max(pixels, 1, h / 2, w / 2) + 1e-6
    assert (h + 0.5) * (w + 0.5) >= pixels - 1e-6


def test_brightness_and_contrast_are_drawn_for_each_modality() -> None:
    grey = dict.fromkeys(MODALITIES, Image.new("RGB", (WIDTH, HEIGHT), (100, 100, 100)))
    config = ModelConfig(
        image_size=(HEIGHT, WIDTH),
        normalization={m: Normalization(mean=(0,) * 3, std=(1 / 255,) * 3) for m in MODALITIES},
    )
    off = {"flip": 0.0, "pad": 0, "erase": 0.0}
    bright = TrainingTransform(config, AugmentConfig(**off, brightness=0.2))
    levels = []
    for seed in range(100):
        found = bright(grey, generator(seed))
        three = [float(found[m].mean()) for m in MODALITIES]
        assert all(float(t.max() - t.min()) < 1e-3 for t in found.values())
        assert len(set(three)) > 1
        levels += three
    assert 79 <= min(levels) < 83
    assert 117 < max(levels) <= 120.001

    contrast = TrainingTransform(config, AugmentConfig(**off, contrast=0.5))
    halves = np.full((HEIGHT, WIDTH, 3), 80, np.uint8)
    halves[: HEIGHT // 2] = 120
    spreads = []
    for seed in range(100):
        found = contrast(dict.fromkeys(MODALITIES, Image.fromarray(halves)), generator(seed))
        for tensor in found.values():
            assert float(tensor.mean()) == pytest.approx(100, abs=1)
            spreads.append(float(tensor.max() - tensor.min()))
    assert 19 <= min(spreads) < 23
    assert 57 < max(spreads) <= 61


def test_one_setting_does_not_change_what_another_draws() -> None:
    images = images_of()
    erased = AugmentConfig(flip=0, pad=0, erase=1)
    more = msgspec.structs.replace(erased, brightness=0.5, contrast=0.5, flip=0.5)
    for seed in range(20):
        alone = TrainingTransform(CONFIG, erased)(images, generator(seed))
        together = TrainingTransform(CONFIG, more)(images, generator(seed))
        assert box(alone["nir"]) == box(together["nir"])


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("flip", 1.5, "flip must be in 0..1, not 1.5"),
        ("flip", float("nan"), "flip must be"),
        ("erase", -0.1, "erase must be"),
        ("brightness", 2.0, "brightness must be"),
        ("contrast", -1.0, "contrast must be"),
        ("pad", -1, "pad must not be negative"),
        ("erase_area", (0.0, 0.4), "erase_area must be"),
        ("erase_area", (0.5, 0.4), "erase_area must be"),
        ("erase_area", (0.5, 1.4), "erase_area must be"),
    ],
)
def test_impossible_augmentations_are_refused(field: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AugmentConfig(**{field: value})
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert({field: value}, AugmentConfig)
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"colour": 1}, AugmentConfig)


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    TrainingTransform(CONFIG, AugmentConfig(pad=15))
    with pytest.raises(ConfigError, match="pad must be less"):
        TrainingTransform(CONFIG, AugmentConfig(pad=16))


# Batches


def batches(sampler: IdentitySampler, epoch: int) -> list[list[Draw]]:
    sampler.set_epoch(epoch)
    return list(sampler)


@st.composite
def samplers(draw: st.DrawFn) -> tuple[list[int], int, int, int]:
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    labels = draw(st.permutations([label for label, n in enumerate(counts) for _ in range(n)]))
    return labels, draw(st.integers(1, len(counts))), draw(st.integers(1, 6)), draw(st.integers())


@settings(deadline=None, max_examples=200)
@given(samplers(), st.integers(0, 100))
def test_batches_have_p_identities_with_k_samples_evenly(
    given_: tuple[list[int], int, int, int], epoch: int
) -> None:
    labels, p, k, seed = given_
    sampler = IdentitySampler(labels, p, k, seed)
    found = batches(sampler, epoch)
    assert len(found) == len(sampler)
    sizes = Counter(labels)
    visits, uses = Counter[int](), Counter[int]()
    for batch in found:
        drawn = Counter(labels[draw.sample] for draw in batch)
        assert len(drawn) == p
        assert set(drawn.values()) == {k}
        repeats = Counter(draw.sample for draw in batch)
        for sample, times in repeats.items():
            most = -(-k // sizes[labels[sample]])  # 1 where the identity has K samples
            assert most - 1 <= times <= most
        visits.update(drawn.keys())
        uses.update(repeats)
    assert set(visits) == set(labels)
    assert max(visits.values()) - min(visits.values()) <= 1
    for label in sizes:
        used = [uses[i] for i, other in enumerate(labels) if other == label]
        assert max(used) - min(used) <= 1
    # As many samples as there are, rounded up to whole batches, unless an identity needs more.
    assert len(found) == max(-(-len(labels) // (p * k)), -(-len(sizes) // p))
    draws = [draw for batch in found for draw in batch]
    assert [draw.place for draw in draws] == list(range(len(draws)))
    assert {draw.epoch for draw in draws} == {epoch}


LABELS = [i % 7 for i in range(50)]


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    whole = IdentitySampler(LABELS, 2, 4, seed=5)
    run = [batches(whole, epoch) for epoch in range(4)]
    resumed = IdentitySampler(LABELS, 2, 4, seed=5)
    assert batches(resumed, 3) == run[3]
    assert batches(resumed, 3) == run[3]
    orders = [[draw.sample for batch in epoch for draw in batch] for epoch in run]
    orders.append([d.sample for b in batches(IdentitySampler(LABELS, 2, 4, 6), 0) for d in b])
    assert len({tuple(order) for order in orders}) == 5


def test_no_identity_is_preferred_over_many_epochs() -> None:
    sampler = IdentitySampler(LABELS, 2, 4, seed=0)
    firsts = Counter(LABELS[batches(sampler, epoch)[0][0].sample] for epoch in range(700))
    assert min(firsts.values()) > 60
    assert max(firsts.values()) < 145


def test_batches_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(DataError, match=r"takes 8 identities, the training data have 7"):
        IdentitySampler(LABELS, 8, 4, seed=0)
    for p, k in ((0, 4), (2, 0)):
        with pytest.raises(DataError, match=f"not {p} x {k}"):
            IdentitySampler(LABELS, p, k, seed=0)


# Loading


@pytest.fixture
def many(tmp_path: Path) -> Path:
    split(tmp_path / "train", *(f"{i:06d}_cam{c}_0_00" for i in (4, 2, 9) for c in (1, 2, 3)))
    return tmp_path


def training_set(root: Path, seed: int = 0) -> TrainingSet:
    data = open_data(root)
    augment = AugmentConfig(pad=5, brightness=0.2)
    return TrainingSet(data.train, data.labels(), TrainingTransform(CONFIG, augment), seed)


Loaded = list[tuple[dict[Modality, Tensor], Tensor, Tensor]]


def load(data: TrainingSet, workers: int, epochs: range) -> list[Loaded]:
    sampler = IdentitySampler(data.labels, identities=2, instances=2, seed=0)
    loader = DataLoader(
        data, batch_sampler=sampler, num_workers=workers, persistent_workers=workers > 0
    )
    found = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        found.append(list(loader))
        assert len(found[-1]) == len(loader)
    return found


def test_batches_do_not_depend_on_workers_or_on_the_epochs_before(many: Path) -> None:
    data = training_set(many)
    alone, workers = load(data, 0, range(3)), load(data, 2, range(3))
    (resumed,) = load(data, 0, range(2, 3))
    for one, two in [*zip(alone, workers, strict=True), (resumed, alone[2])]:
        for (images, labels, cameras), (images2, labels2, cameras2) in zip(one, two, strict=True):
            assert images["tir"].shape == (4, 3, HEIGHT, WIDTH)
            assert torch.equal(labels, labels2)
            assert torch.equal(cameras, cameras2)
            for modality in MODALITIES:
                assert torch.equal(images[modality], images2[modality])


def test_an_item_is_drawn_anew_for_each_seed_epoch_and_place(many: Path) -> None:
    data = training_set(many)
    assert data.labels == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    images, label, camera = data[Draw(4, 0, 0)]
    assert (label, camera) == (1, 1)
    others = [
        data[Draw(4, 1, 0)],
        data[Draw(4, 0, 1)],
        training_set(many, seed=1)[Draw(4, 0, 0)],
    ]
    for other in others:
        assert not torch.equal(images["rgb"], other[0]["rgb"])
    again = data[Draw(4, 0, 0)]
    assert all(torch.equal(images[m], again[0][m]) for m in MODALITIES)


def load_for_training(root: Path, workers: int) -> None:
    load(training_set(root), workers, range(3))


def load_for_evaluation(root: Path, workers: int) -> None:
    list(DataLoader(EvaluationSet(open_data(root).train, CONFIG), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loading", [load_for_training, load_for_evaluation])
def test_an_unreadable_image_is_named_through_the_workers_too(
    many: Path, loading: Callable[[Path, int], None], workers: int
) -> None:
    path = many / "train/NI/000002_cam2_0_00.jpg"
    truncate(path)
    with pytest.raises(DataError) as refusal:
        loading(many, workers)
    # The loader ends its workers at once if it is let go now, and not by a garbage collection.
    traceback.clear_frames(refusal.tb)
    message = str(refusal.value)
    assert message.startswith(f"{path}: cannot be read: ")
    assert "\n" not in message


def test_evaluation_sees_the_numbers_of_the_camera_node(tmp_path: Path) -> None:
    """Of 8-bit and 16-bit images alike, and of the modalities that are there."""
    raw = np.random.default_rng(0).integers(6000, 10000, (22, 14), np.uint16)
    for name in RGBNT201_TEST:
        save(tmp_path / f"test/RGB/{name}.jpg", noise(1))
        save(tmp_path / f"test/TI/{name}.png", Image.fromarray(raw))
    save(tmp_path / f"test/NI/{RGBNT201_TEST[0]}.tiff", Image.fromarray(raw))
    node = preprocess.Preprocessor(
        Preprocessing(
            height=HEIGHT,
            width=WIDTH,
            interpolation="bilinear",
            modalities={
                m: Normalized(mean=n.mean, std=n.std, range16=n.range16)
                for m in MODALITIES
                for n in [CONFIG.normalization_of(m)]
            },
        )
    )
    records = open_data(tmp_path).query
    assert [RGB_NIR_TIR.state(r.images).name for r in records] == ["rgb+nir+tir", "rgb+tir"]
    evaluation = EvaluationSet(records, CONFIG)
    assert len(evaluation) == 2
    untouched = TrainingTransform(CONFIG, OFF)
    for i, record in enumerate(records):
        images, index = evaluation[i]
        assert index == i
        assert tuple(images) == RGB_NIR_TIR.state(record.images).available
        trained = untouched(record.open(), generator(0))
        for modality, ref in record.images.items():
            range16 = CONFIG.normalization_of(modality).range16
            eight_bits = preprocess.to_pillow(ref.path, range16).convert("RGB")
            expected = evaluation_transform(CONFIG, modality)(eight_bits)
            assert torch.equal(images[modality], expected)
            assert torch.equal(trained[modality], expected)
            # How near the two ways to normalize are is tested with the node's preprocessing.
            node_sees = node(ref.path, modality)
            np.testing.assert_allclose(images[modality].numpy(), node_sees, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).filter(lambda r: r[0] < r[1]))
def test_every_16_bit_value_becomes_the_8_bit_value_of_the_camera_node(
    range16: tuple[int, int],
) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    big = Image.frombytes("I;16B", (256, 256), values.astype(">u2").tobytes())
    expected = np.asarray(preprocess.to_pillow(values, range16).convert("RGB"))
    for image in (Image.fromarray(values), big, Image.fromarray(values.astype(np.int32))):
        assert image.mode.startswith("I")
        assert np.array_equal(to_rgb(image, range16), expected)
