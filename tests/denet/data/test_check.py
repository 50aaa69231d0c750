"""The check of a data set: problems, notes, and how they are printed."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from denet.data.check import SplitReport, check_data, report_table
from tests.command import denet
from tests.denet.data.sets import noise, save, split, truncate, wide


def test_a_sound_data_set_has_neither_problems_nor_notes(rgbnt201: Path) -> None:
    told: list[tuple[int, int]] = []
    report = check_data(rgbnt201, notify=lambda done, total: told.append((done, total)))
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
    leak, alone, text = report.problems
    (truncated,) = report.stops
    assert report.sees[0] == "2 of 3 training samples are complete"
    assert leak.startswith("1 identity (7) in both training and test")
    assert alone.startswith("2 identities (7, 300) seen by no second camera in the gallery: 3 of 5")
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
    (fault,) = check_data(rgbnt100).stops
    assert "0003_c0001_000.jpg: its width 767 is no multiple of 3" in fault


def test_one_cause_is_one_line_with_a_count(rgbnt201: Path) -> None:
    names = [f"{i:06d}_cam{c}_0_00" for i in range(300, 330) for c in (1, 2)]
    split(rgbnt201 / "train_171", *(name.replace("0003", "0004") for name in names))
    split(rgbnt201 / "test", *names)
    for name in names:
        (rgbnt201 / f"test/NI/{name}.jpg").unlink()
        (rgbnt201 / f"test/TI/{name}.jpg").write_text("no image")
        save(rgbnt201 / f"test/RGB/{name}.jpg", noise(0, (28, 40)))
    for name in names[:7]:
        (rgbnt201 / f"train_171/RGB/{name.replace('0003', '0004')}.jpg").write_text("no image")
    report = check_data(rgbnt201)
    (unreadable,) = report.problems
    assert "test: 000300_cam1_0_00 (and 59 more): no nir" in report.notes
    assert unreadable.startswith(f"{rgbnt201 / 'test/TI/000300_cam1_0_00.jpg'} (and 59 more): not")
    (stop,) = report.stops
    assert stop.startswith(
        f"{rgbnt201 / 'train_171/RGB/000400_cam1_0_00.jpg'} (and 6 more): not an"
    )


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ((), "no training samples"),
        (("000001_cam1_0_00", "000001_cam2_0_00"), "1 identity (1) to train on"),
    ],
)
def test_what_stops_training_is_told_and_is_an_error(
    tmp_path: Path, samples: tuple[str, ...], told: str
) -> None:
    split(tmp_path / "test", "000258_cam1_0_00", "000258_cam3_0_01")
    if samples:
        split(tmp_path / "train", *samples)
    (stop,) = check_data(tmp_path).stops
    assert stop.startswith(told)
    for command in (["data"], ["data", "check"]):
        result = denet(*command, tmp_path)
        assert result.exit_code == 2
        assert "1 fault that stops training" in result.stdout
        assert told in result.stdout


def test_a_sound_set_is_no_error(rgbnt201: Path) -> None:
    assert denet("data", rgbnt201).exit_code == 0


def test_a_set_of_two_modalities_lacks_nothing_that_it_could_have(tmp_path: Path) -> None:
    for part in ("train", "test"):
        names = [f"{i:06d}_cam{c}_0_00" for i in (1, 2) for c in (1, 2)]
        names = [name.replace("0000", "0001") for name in names] if part == "test" else names
        split(tmp_path / part, *names, folders=["RGB", "TI"])
    report = check_data(tmp_path)
    assert report.problems == []
    assert [split.states for split in report.splits] == [{"rgb+tir": 4}] * 2
    assert report.stops == []
    assert report.notes == ["no training sample has nir: train with --modalities rgb,tir"]
    (stop,) = check_data(tmp_path, ["rgb", "nir"]).stops
    assert stop.startswith("no training sample has nir, which a model of rgb, nir needs")
    assert check_data(tmp_path, ["rgb"]).stops == []


def test_what_too_few_samples_have_is_told_with_what_is_left(rgbnt201: Path) -> None:
    shutil.rmtree(rgbnt201 / "train_171/NI")
    assert check_data(rgbnt201).stops == []  # a model of two
    (stop,) = check_data(rgbnt201, ["rgb", "nir", "tir"]).stops
    assert stop.endswith("or train with --modalities rgb,tir")
    assert denet("data", rgbnt201, "--modalities", "rgb,nir,tir").exit_code == 2
    assert denet("data", rgbnt201, "--modalities", "rgb,tir").exit_code == 0


def deepen(path: Path, values: NDArray[Any]) -> None:
    path.unlink()
    Image.fromarray(values).save(path.with_suffix(".tif"))


def thermal(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.jpg") if path.parent.name == "TI")


def test_what_part_of_16_bits_is_used_is_told(rgbnt201: Path) -> None:
    chance = np.random.default_rng(0)
    for path in thermal(rgbnt201):
        deepen(path, chance.integers(7000, 9001, (22, 14), np.uint16))
    (note,) = check_data(rgbnt201).notes
    assert note.startswith("tir: values from 70")
    assert "use 3.0 % of the range 0 to 65535" in note
    assert "[model.normalization.tir] range16" in note


def test_temperatures_are_told_to_need_a_range(rgbnt201: Path) -> None:
    chance = np.random.default_rng(0)
    for path in thermal(rgbnt201):
        deepen(path, chance.uniform(290, 310, (22, 14)).astype(np.float32))
    (note,) = check_data(rgbnt201).notes
    assert note.startswith("tir: 32-bit values from 29")


def test_depths_that_differ_are_told(rgbnt201: Path) -> None:
    deepen(thermal(rgbnt201)[0], np.random.default_rng(0).integers(0, 65536, (22, 14), np.uint16))
    (note,) = check_data(rgbnt201).notes
    assert note.startswith("tir: 8 bits in 4 and 16 bits in 1 images")


def test_the_report_is_printed_with_a_limited_number_of_lines(tmp_path: Path) -> None:
    split(tmp_path / "test", *(f"{i:06d}_cam1_0_00" for i in range(30)), folders=["RGB"])
    console = Console(file=io.StringIO(), width=200)
    report = check_data(tmp_path)
    console.print(report_table(replace(report, notes=[f"note {i}" for i in range(25)])))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 problem\n" in text
    assert "1 fault that stops training" in text
    assert "30 identities (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...) seen by no second" in text
    assert "note 19\n  ... and 5 more" in re.sub(" +\n", "\n", text)
    assert "rgb 30" in text
    assert "14x22, 14x22, 14x22" in text
