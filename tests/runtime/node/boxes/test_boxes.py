"""Boxes of persons: files and functions, homographies against projected points, and crops against
image files that hold the same pixels."""

from __future__ import annotations

import json
import math
import threading
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from denet.graph import RGB_NIR_TIR, Modality
from runtime.node import NodeError
from runtime.node.boxes.box import Box
from runtime.node.boxes.cropping import OUTSIDE, UNEQUAL, crop, crops
from runtime.node.boxes.finder import checked_box, open_finder, read_boxes, whole_frames
from runtime.node.boxes.homography import View, check_views, read_views
from runtime.node.boxes.settings import BoxSettings
from runtime.node.sources import Frame
from runtime.node.sources.folder import Recording, read_pixels
from runtime.runtime import Runtime

MODALITIES = RGB_NIR_TIR.modalities


TOLERANCE = 0.015


def frame(modality: Modality = "rgb", **more: Any) -> Frame:
    return Frame(modality, 1.0, np.zeros((4, 4), np.uint8), 0, **more)


def lines(path: Path, *documents: object) -> Path:
    path.write_text("".join(json.dumps(d) + "\n\n" for d in documents))
    return path


# Of a file


def test_boxes_by_name(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "boxes.jsonl",
        {"name": "000", "boxes": [[1, 2, 3, 4], [0.5, 0, 9, 9.25]]},
        {"name": "001", "boxes": []},
    )
    finder = open_finder(BoxSettings(file=str(path)), TOLERANCE)
    assert finder({"rgb": frame(name="000")}, 0) == [Box(1, 2, 3, 4), Box(0.5, 0, 9, 9.25)]
    assert finder({"rgb": frame(name="001")}, 0) == []
    assert finder({"rgb": frame(name="002")}, 0) == []
    # Where RGB is missing, the names of the others are the same.
    assert len(finder({"tir": frame("tir", name="000", position=0.0)}, 0)) == 2


@given(
    times=st.lists(st.integers(0, 200), min_size=1, max_size=20, unique=True),
    at=st.floats(-0.1, 2.1),
)
def test_boxes_by_time_are_those_of_the_nearest_line(
    times: list[int], at: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seconds = [t / 100 for t in times]
    path = tmp_path_factory.mktemp("boxes") / "boxes.jsonl"
    lines(path, *({"time": t, "boxes": [[0, 0, t + 1, 1]]} for t in seconds))
    found = read_boxes(path, TOLERANCE)({"rgb": frame(position=at)}, 0)
    distances = [abs(t - at) for t in seconds]
    assume(all(abs(d - TOLERANCE) > 1e-9 for d in distances))
    if min(distances) > TOLERANCE:
        assert found == []
    else:
        (box,) = found
        assert box is not None
        assert abs(box.right - 1 - at) == pytest.approx(min(distances))


def test_a_name_is_the_same_however_unicode_writes_it(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "J\u00fcrgen_1") for form in ("NFC", "NFD"))
    (tmp_path / "RGB").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "RGB" / f"{apart}.png")
    (item,) = Recording(tmp_path, rate=1000).source("rgb").frames(threading.Event())
    assert isinstance(item, Frame)
    for name in (composed, apart):
        path = lines(tmp_path / "boxes.jsonl", {"name": name, "boxes": [[0, 0, 1, 1]]})
        assert read_boxes(path, TOLERANCE)({"rgb": item}, 0) == [Box(0, 0, 1, 1)]
    same = [{"name": name, "boxes": []} for name in (composed, apart)]
    with pytest.raises(NodeError, match="has a line already"):
        read_boxes(lines(tmp_path / "boxes.jsonl", *same), TOLERANCE)


def test_boxes_by_time_fit_frames_whose_numbers_have_no_zeros(tmp_path: Path) -> None:
    (tmp_path / "RGB").mkdir()
    for i in range(12):
        Image.new("L", (4, 4), i).save(tmp_path / "RGB" / f"frame_{i}.png")
    timed = ({"time": i / 1000, "boxes": [[0, 0, 1 + i, 1]]} for i in range(12))
    finder = read_boxes(lines(tmp_path / "boxes.jsonl", *timed), 0.0001)
    recording = Recording(tmp_path, rate=1000)
    for i, sample in enumerate(recording.samples):
        found = Frame("rgb", 0.0, read_pixels(sample.files["rgb"]), i, position=i / 1000)
        assert finder({"rgb": found}, 0) == [Box(0, 0, 1 + int(found.image[0, 0]), 1)]


def test_frames_of_a_folder_carry_their_names(data: Path) -> None:
    recording = Recording(data / "test", rate=1000)
    found = list(recording.source("nir").frames(threading.Event()))
    names = {sample.name: i for i, sample in enumerate(recording.samples)}
    assert found
    for item in found:
        assert isinstance(item, Frame)
        assert item.name is not None
        assert item.position == pytest.approx(names[item.name] / 1000)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"name": "a", "boxs": []}, "boxs"),
        ({"name": "a"}, "boxes"),
        ({"boxes": []}, "either a name or a time"),
        ({"name": "a", "time": 1, "boxes": []}, "either a name or a time"),
        ({"name": "ok", "boxes": []}, "'ok' has a line already"),
        ({"name": "a", "boxes": [[1, 2, 3]]}, "boxes"),
        ({"name": "a", "boxes": [[3, 2, 1, 4]]}, "is empty"),
        ("a", "object"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, document: object, words: str) -> None:
    path = lines(tmp_path / "boxes.jsonl", {"name": "ok", "boxes": []}, document)
    with pytest.raises(NodeError, match=r"boxes\.jsonl, line 3: ") as caught:
        read_boxes(path, TOLERANCE)
    assert words in str(caught.value).partition("line 3: ")[2]


def test_a_file_of_boxes_must_be_there_and_have_some(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="No such file"):
        read_boxes(tmp_path / "x", TOLERANCE)
    with pytest.raises(NodeError, match="no line of boxes"):
        read_boxes(lines(tmp_path / "x"), TOLERANCE)


# Of an application


def test_an_application_finds_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "finds_persons.py").write_text(
        "def persons(frames, time):\n    return [(0, 0, time, len(frames))]\nnumber = 3\n"
        "def wrong(frames, time):\n    return [(0, 0, float('nan'), 1)]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    frames = {"rgb": frame(), "tir": frame("tir")}
    finder = open_finder(BoxSettings(call="finds_persons:persons"), TOLERANCE)
    assert finder(frames, 7.0) == [Box(0, 0, 7, 2)]
    registered = open_finder(
        BoxSettings(call="not_there:x"), TOLERANCE, lambda _f, _t: [Box(1, 2, 3, 4)]
    )
    assert registered(frames, 7.0) == [Box(1, 2, 3, 4)]
    with pytest.raises(NodeError, match="not \\(0, 0, nan, 1\\)"):
        open_finder(BoxSettings(call="finds_persons:wrong"), TOLERANCE)(frames, 7.0)
    for call, words in (
        ("finds_persons", "write module:function"),
        ("finds_persons:nothing", "AttributeError"),
        ("finds_persons:number", "no function"),
        ("not_there_at_all:x", "ModuleNotFoundError"),
    ):
        with pytest.raises(NodeError, match=f"boxes.call: .*{words}"):
            open_finder(BoxSettings(call=call), TOLERANCE)


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, 3, math.inf), (5, 2, 5, 4), (1, 4, 3, 4)])
def test_what_is_no_box(box: tuple[float, ...]) -> None:
    with pytest.raises(NodeError, match="a box is left, top, right and bottom"):
        checked_box(box)


# Crops


COORDINATE = st.floats(-40, 80)


@given(COORDINATE, COORDINATE, st.floats(0.01, 60), st.floats(0.01, 60))
def test_a_crop_has_every_pixel_that_the_box_touches(
    left: float, top: float, width: float, height: float
) -> None:
    box = Box(left, top, left + width, top + height)
    image = np.arange(48 * 32, dtype=np.uint16).reshape(48, 32)
    found = crop(image, box)
    expected = [
        [y * 32 + x for x in range(32) if x + 1 > box.left and x < box.right]
        for y in range(48)
        if y + 1 > box.top and y < box.bottom
    ]
    if not expected or not expected[0]:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() == expected
        assert not np.shares_memory(found, image)


@pytest.mark.parametrize("kind", ["colour", "grey", "16 bits"])
def test_a_crop_embeds_as_an_image_file_of_the_same_pixels(
    runtime: Runtime, tmp_path: Path, kind: str
) -> None:
    chance = np.random.default_rng(0)
    shape = (120, 160, 3) if kind == "colour" else (120, 160)
    image = chance.integers(0, 256, shape, dtype=np.uint8)
    if kind == "16 bits":
        image = chance.integers(0, 65536, shape, dtype=np.uint16)
    box = Box(11.3, -5.0, 70.2, 100.9)
    found = crop(image, box)
    assert found is not None
    Image.fromarray(image).crop((11, 0, 71, 101)).save(tmp_path / "crop.png")
    for m in MODALITIES:
        ours = runtime.preprocess(found, m)
        assert np.array_equal(ours, runtime.preprocess(tmp_path / "crop.png", m))
        assert np.array_equal(ours, runtime.preprocess(read_pixels(tmp_path / "crop.png"), m))


def test_modalities_that_do_not_see_a_person_are_left_out() -> None:
    frames = {m: np.zeros((10, 20), np.uint8) for m in MODALITIES}
    views = {
        "rgb": View(size=(20, 10)),
        "tir": View(size=(20, 10), homography=((1, 0, -10), (0, 1, 0), (0, 0, 1))),
    }
    check_views(views)
    found = crops(frames, Box(2, 2, 6, 8), views)
    assert not isinstance(found, str)
    assert {m: x.shape for m, x in found.items()} == {"rgb": (6, 4), "nir": (6, 4)}
    found = crops(frames, Box(8, 2, 14, 8), views)
    assert not isinstance(found, str)
    assert found["tir"].shape == (6, 4)
    assert crops(frames, Box(30, 2, 34, 8), views) == OUTSIDE
    frames["nir"] = np.zeros((5, 10), np.uint8)
    assert crops(frames, Box(2, 2, 6, 8), None) == UNEQUAL
    assert crops(frames, None, None) == frames
    assert whole_frames({}, 0.0) == (None,)


# Homographies


def similar(scale: float, angle: float, shift: tuple[float, float], tilt: float) -> Any:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return ((c, -s, shift[0]), (s, c, shift[1]), (tilt, 0.0, 1.0))


@settings(deadline=None)
@given(
    st.floats(0.2, 2),
    st.floats(-0.5, 0.5),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.floats(0, 1e-3),
    st.tuples(st.floats(0, 600), st.floats(0, 440), st.floats(5, 40), st.floats(5, 40)),
)
def test_a_box_is_placed_around_all_of_its_points(
    scale: float,
    angle: float,
    shift: tuple[float, float],
    tilt: float,
    box: tuple[float, float, float, float],
) -> None:
    matrix = similar(scale, angle, shift, tilt)
    left, top, width, height = box
    placed = View(size=(640, 480), homography=matrix).place(
        Box(left, top, left + width, top + height)
    )
    # Written out for points on the edges and inside: all lie in the box, and each side is met.
    xs, ys = [], []
    for i in range(11):
        for j in range(11):
            x, y = left + width * i / 10, top + height * j / 10
            (a, b, c), (d, e, f), (g, h, k) = matrix
            depth = g * x + h * y + k
            xs.append((a * x + b * y + c) / depth)
            ys.append((d * x + e * y + f) / depth)
    found = (placed.left, placed.top, placed.right, placed.bottom)
    assert found == pytest.approx((min(xs), min(ys), max(xs), max(ys)))


def test_a_corner_behind_the_camera_is_nowhere() -> None:
    view = View(size=(10, 10), homography=((1, 0, 0), (0, 1, 0), (-0.05, 0, 1)))
    assert view.place(Box(0, 0, 30, 5)) == Box(0, 0, 0, 0)
    assert crop(np.zeros((10, 10), np.uint8), Box(0, 0, 0, 0)) is None


IDENTITY = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("name", ["cameras.json", "cameras.toml"])
def test_a_calibration_is_json_or_toml(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("json"):
        views = {"tir": {"size": [40, 30], "homography": IDENTITY}, "rgb": {"size": [80, 60]}}
        path.write_text(json.dumps(views))
    else:
        path.write_text(
            f"[tir]\nsize = [40, 30]\nhomography = {IDENTITY}\n[rgb]\nsize = [80, 60]\n"
        )
    found = read_views(path)
    assert list(found) == ["rgb", "tir"]
    assert found["tir"] == View(size=(40, 30), homography=((1, 0, 0), (0, 1, 0), (0, 0, 1)))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], "cannot be inverted"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], "cannot be inverted"),
        ([[1, 0, 0], [0, 1, 0], [-0.05, 0, 1]], "behind the camera"),
        ([[1, 0, 5000], [0, 1, 0], [0, 0, 1]], "0 % of the RGB frame"),
        ([[1, 0, 0], [0, 1, 0]], "length 3"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, "a"]], "float"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]], "malformed"),
    ],
)
def test_a_homography_that_is_none(tmp_path: Path, matrix: object, words: str) -> None:
    path = tmp_path / "cameras.json"
    views = {"rgb": {"size": [640, 480]}, "tir": {"size": [640, 480], "homography": matrix}}
    path.write_text(json.dumps(views))
    with pytest.raises(NodeError, match=r"cameras\.json") as caught:
        read_views(path)
    assert words in str(caught.value)


def test_a_calibration_starts_at_rgb(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    for views, words in (
        ({"tir": {"size": [4, 4]}}, "no [rgb]"),
        ({"rgb": {"size": [4, 4], "homography": IDENTITY}}, "rgb.homography: remove it"),
        ({"uv": {"size": [4, 4]}}, "[uv] is no modality: choose from rgb, nir, tir"),
    ):
        path.write_text(json.dumps(views))
        with pytest.raises(NodeError, match=r"cameras\.json") as caught:
            read_views(path)
        assert words in str(caught.value)
    nan = View(size=(4, 4), homography=((math.nan, 0, 0), (0, 1, 0), (0, 0, 1)))
    with pytest.raises(NodeError, match="not finite"):
        check_views({"rgb": View(size=(4, 4)), "tir": nan})
