"""Every layout is read as its protocol has it, and none is taken for another one."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from denet.data.check import check_data
from denet.data.records import DataError, DataSet, Record, open_data
from denet.graph import RGB_NIR_TIR
from tests.denet.data import layouts
from tests.denet.data.sets import RGBNT201_TEST, RGBNT201_TRAIN, split, truncate, wide

Making = Callable[[Path], Path]


def rgbnt201(root: Path) -> Path:
    split(root / "train_171", *RGBNT201_TRAIN)
    split(root / "test", *RGBNT201_TEST)
    return root


def rgbnt100(root: Path) -> Path:
    wide(root / "rgbir/bounding_box_train", "0502_c0001_000", "0007_c0008_012")
    wide(root / "rgbir/query", "0031_c0002_003")
    wide(root / "rgbir/bounding_box_test", "0031_c0002_003", "0031_c0005_001")
    return root


def market_mm(root: Path) -> Path:
    split(root / "train", "0002_c1s1_000451_03", "0003_c1s1_000451_03")
    split(root / "query", "1501_c3s2_000001_00")
    split(root / "gallery", "1501_c4s2_000001_01")
    return root


MAKERS: dict[str, Making] = {
    "RGBNT201": rgbnt201,
    "RGBNT100": rgbnt100,
    "Market1501-MM": market_mm,
    "MSVR310": layouts.msvr310,
    "WMVEID863": layouts.wmveid863,
    "RegDB": layouts.regdb,
    "SYSU-MM01": layouts.sysu,
    "LLCM": layouts.llcm,
    "Market-1501": layouts.market1501,
    "folder per person": layouts.people,
}


def facts(records: tuple[Record, ...]) -> list[tuple[str, int, int, str]]:
    return [(r.name, r.identity, r.camera, RGB_NIR_TIR.state(r.images).name) for r in records]


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> DataSet:
    return open_data(MAKERS[request.param](tmp_path / "root"))


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_is_taken_for_itself(name: str, tmp_path: Path) -> None:
    data = open_data(MAKERS[name](tmp_path / "root"))
    assert data.name == name
    assert data.train
    assert data.query
    assert data.gallery
    for record in (*data.train, *data.query, *data.gallery):
        assert set(record.open()) == set(record.images) <= set(data.graph.modalities)
    assert not {r.identity for r in data.train} & {r.identity for r in data.query}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_image_of_the_set_is_passed_over(name: str, tmp_path: Path) -> None:
    """Leftovers of macOS and Windows beside every file."""
    root = MAKERS[name](tmp_path / "root")
    expected = open_data(root)
    for path in [p for p in root.rglob("*") if p.is_file()]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / ".DS_Store").write_bytes(b"")
        (path.parent / "Thumbs.db").write_bytes(b"")
    for folder in [root, *(p for p in root.rglob("*") if p.is_dir())]:
        (folder / "__MACOSX").mkdir()
        (folder / "__MACOSX" / "0001_cam1.jpg").write_bytes(b"")
    assert open_data(root) == expected


@pytest.mark.parametrize("name", MAKERS)
def test_links_endings_and_forms_of_names_make_no_difference(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "root")
    expected = open_data(root)
    if name not in ("RegDB", "LLCM"):  # whose lists say how files are spelled
        for path in [p for p in root.rglob("*") if p.suffix in (".jpg", ".png")]:
            path.rename(path.with_suffix(path.suffix.upper()))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        folder.rename(moved / folder.name)
        folder.symlink_to(moved / folder.name)
    found = open_data(root)
    for part in ("train", "query", "gallery"):
        assert facts(getattr(found, part)) == facts(getattr(expected, part))


@pytest.mark.parametrize("name", MAKERS)
def test_a_damaged_image_is_one_problem(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "root")
    first = next(iter(open_data(root).query[0].images.values())).path
    truncate(first)
    report = check_data(root)
    assert sum(problem.startswith(str(first)) for problem in report.problems) == 1


@pytest.mark.parametrize("made", ["MSVR310"], indirect=True)
def test_msvr310_goes_by_the_scene(made: DataSet) -> None:
    whole = "rgb+nir+tir"
    assert facts(made.train) == [
        ("0007/0007_s002_v1_000", 7, 2, whole),
        ("0268/0268_s000_v0_000", 268, 0, whole),
        ("0268/0268_s001_v3_001", 268, 1, whole),
    ]
    assert facts(made.query) == [("0012/0012_s001_v2_003", 12, 1, whole)]
    assert [r.camera for r in made.gallery] == [1, 4, 1]


@pytest.mark.parametrize("gallery", ["test", "gallery"])
def test_wmveid863_goes_by_the_view(tmp_path: Path, gallery: str) -> None:
    data = open_data(layouts.wmveid863(tmp_path, gallery))
    assert data.name == "WMVEID863"
    assert [(r.identity, r.camera) for r in data.train] == [(1, 1), (1, 2), (2, 8)]
    assert [(r.identity, r.camera) for r in data.query] == [(400, 1)]
    assert [(r.identity, r.camera) for r in data.gallery] == [(400, 1), (400, 3)]


def test_an_image_that_wmveid863_lacks_in_one_modality_is_missing(tmp_path: Path) -> None:
    root = layouts.wmveid863(tmp_path)
    (root / "test/0400/ni/v3_n0_s001_000.jpg").unlink()
    assert [state for *_, state in facts(open_data(root).gallery)] == ["rgb+nir+tir", "rgb+tir"]


@pytest.mark.parametrize("made", ["RegDB"], indirect=True)
def test_regdb_searches_thermal_images_by_visible_ones(made: DataSet) -> None:
    assert [r.identity for r in made.train] == [7, 7, 73, 73] * 2
    assert {r.name for r in made.query} == {
        f"{person}/female_front_v_{frame}_{person}"
        for person in (168, 222)
        for frame in ("00753", "00759")
    }
    assert {(tuple(r.images), r.camera) for r in made.query} == {(("rgb",), 0)}
    assert {(tuple(r.images), r.camera) for r in made.gallery} == {(("tir",), 1)}
    assert made.graph.modalities == ("rgb", "tir")


@pytest.mark.parametrize("made", ["SYSU-MM01"], indirect=True)
def test_sysu_mm01_searches_visible_images_by_infrared_ones(made: DataSet) -> None:
    assert {r.identity for r in made.train} == {1, 2}
    assert len(made.train) == 2 * 6 * 2
    # Cameras 3 and 6 of two persons with two images; camera 3 counts as camera 2 beside it.
    assert len(made.query) == 8
    assert {(r.name[:4], r.camera) for r in made.query} == {("cam3", 1), ("cam6", 5)}
    # One image of each person by each camera that saw them.
    assert [(r.identity, r.camera) for r in made.gallery] == sorted(
        [(p, c) for p in (9, 14) for c in (0, 1, 3, 4) if (p, c) != (14, 4)],
        key=lambda each: (each[1], each[0]),
    )
    assert made.graph.modalities == ("rgb", "nir")


def test_the_gallery_of_sysu_mm01_is_always_the_same(tmp_path: Path) -> None:
    root = layouts.sysu(tmp_path)
    assert open_data(root).gallery == open_data(root).gallery


@pytest.mark.parametrize("made", ["LLCM"], indirect=True)
def test_llcm_searches_visible_images_by_infrared_ones(made: DataSet) -> None:
    assert {(r.identity, r.camera) for r in made.train} == {(1, 0), (1, 3), (3, 0), (3, 3)}
    assert len(made.train) == 8
    assert [(r.identity, r.camera) for r in made.query] == [(4, 1), (4, 1), (4, 8), (4, 8)]
    assert [(r.identity, r.camera) for r in made.gallery] == [(4, 1), (4, 8)]


@pytest.mark.parametrize("below", [".", "Market-1501-v15.09.15"])
def test_market1501_leaves_out_junk_and_keeps_distractors(tmp_path: Path, below: str) -> None:
    data = open_data(layouts.market1501(tmp_path, below))
    assert data.name == "Market-1501"
    assert facts(data.gallery) == [
        ("0000_c2s1_000151_01", 0, 1, "rgb"),
        ("1501_c3s2_000001_00", 1501, 2, "rgb"),
        ("1501_c4s2_000001_01", 1501, 3, "rgb"),
    ]
    assert data.graph.modalities == ("rgb",)


@pytest.mark.parametrize("made", ["folder per person"], indirect=True)
def test_persons_are_counted_and_every_sample_has_a_camera_of_its_own(made: DataSet) -> None:
    assert facts(made.train) == [
        ("anna/2", 0, 0, "rgb"),
        ("anna/holiday", 0, 1, "rgb"),
        ("bob/1", 1, 0, "rgb+tir"),
        ("carl/1", 2, 0, "rgb"),
    ]
    assert facts(made.query) == [("dora/1", 3, 0, "rgb"), ("dora/2", 3, 1, "rgb")]
    assert made.gallery is made.query


def test_folders_of_numbers_are_these_identities(tmp_path: Path) -> None:
    for name in ("train/0007/1", "train/12/1", "test/0100/1"):
        layouts.draw(tmp_path / f"{name}.jpg")
    data = open_data(tmp_path)
    assert [r.identity for r in (*data.train, *data.query)] == [7, 12, 100]


# What is refused


def refused(root: Path) -> str:
    with pytest.raises(DataError) as refusal:
        open_data(root)
    message = str(refusal.value)
    assert "\n" not in message
    return message


def test_a_set_of_narrow_images_is_not_taken_for_rgbnt100(tmp_path: Path) -> None:
    for name in ("0002_c001_00016450_0", "0003_c001_00016450_0"):
        layouts.draw(tmp_path / "bounding_box_train" / f"{name}.jpg")
    assert "12x24 pixels: RGBNT100 has RGB, NI and TI side by side" in refused(tmp_path)


def test_names_of_another_set_are_refused(tmp_path: Path) -> None:
    layouts.market1501(tmp_path)
    layouts.draw(tmp_path / "query" / "0005_c2_f0046985.jpg")  # DukeMTMC-reID
    assert "0005_c2_f0046985.jpg: the name tells no identity" in refused(tmp_path)


def test_two_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    rgbnt201(tmp_path)
    layouts.market1501(tmp_path / "Market-1501-v15.09.15")
    rgbnt100(tmp_path)
    message = refused(tmp_path)
    assert "holds several data sets" in message
    assert str(tmp_path / "rgbir") in message


def test_images_beside_folders_of_persons_are_refused(tmp_path: Path) -> None:
    root = layouts.wmveid863(tmp_path)
    layouts.draw(root / "train" / "0001" / "stray.jpg")
    assert "stray.jpg: beside folders of modalities" in refused(root)


def test_msvr310_needs_names_that_tell_a_scene(tmp_path: Path) -> None:
    root = layouts.msvr310(tmp_path)
    for modality in layouts.MULTISPECTRAL:
        layouts.draw(root / "query3" / "0012" / modality / "7.jpg")
    assert "file names tell no scene" in refused(root)


@pytest.mark.parametrize(
    ("making", "file", "content", "told"),
    [
        (layouts.regdb, "idx/train_thermal_1.txt", "Thermal/7/nowhere.bmp 0", "there is no file"),
        (layouts.regdb, "idx/test_visible_1.txt", "../secret.bmp 0", "outside of"),
        (layouts.regdb, "idx/test_visible_1.txt", "/etc/secret.bmp 0", "outside of"),
        (layouts.sysu, "exp/test_id.txt", "9,x", "'x' is no identity"),
        (layouts.llcm, "idx/train_nir.txt", "nir/0001/none.jpg 0", "there is no file"),
        (layouts.llcm, "idx/test_id.txt", "", "has no"),
    ],
)
def test_lists_that_are_wrong_are_refused(
    tmp_path: Path, making: Making, file: str, content: str, told: str
) -> None:
    root = making(tmp_path / "root")
    (root / file).write_text(content)
    if told == "has no":
        assert not open_data(root).query
    else:
        assert told in refused(root)


def test_a_set_without_its_folders_is_refused(tmp_path: Path) -> None:
    root = layouts.sysu(tmp_path / "root")
    for camera in range(1, 7):
        shutil.rmtree(root / f"cam{camera}")
        (root / f"cam{camera}").mkdir()
    assert "looks like SYSU-MM01, but its lists name no images" in refused(root)


def test_persons_of_one_name_are_refused(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        layouts.draw(tmp_path / "train" / unicodedata.normalize(form, "Jürgen") / "1.jpg")
    assert "the same person as another folder" in refused(tmp_path)
