"""`denet node align` from end to end: points in, a calibration out that a node takes."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from runtime.node.align.direct import errors
from runtime.node.boxes.homography import project, read_views
from tests.paths import ROOT, as_written
from tests.runtime.node.align import boards

TRUTH = np.array([[0.31, 0.02, 12.0], [-0.01, 0.33, 40.5], [1e-5, 2e-5, 1.0]])
SIZES = {"rgb": [1920, 1080], "tir": [640, 512]}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["node", "align", *map(str, arguments)])


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def pairs(count: int, seed: int = 0) -> list[dict[str, list[float]]]:
    chance = np.random.default_rng(seed)
    source = chance.uniform((100, 100), (1800, 1000), (count, 2))
    target = project(TRUTH, source)
    return [
        {"rgb": a, "tir": b}
        for a, b in zip(source.round(2).tolist(), target.round(2).tolist(), strict=True)
    ]


def points_file(path: Path, points: list[dict[str, list[float]]], **more: object) -> Path:
    path.write_text(json.dumps({"sizes": SIZES, "points": points} | more))
    return path


@pytest.fixture
def points(tmp_path: Path) -> Path:
    found = pairs(14)
    found[4]["tir"][0] += 40
    return points_file(tmp_path / "points.json", found)


def test_a_file_of_points_becomes_a_calibration(points: Path, tmp_path: Path) -> None:
    out = tmp_path / "cameras.toml"
    result = run("--points", points, "--out", out)
    assert result.exit_code == 0, result.output
    assert "13 of 14 pairs agree" in result.output
    assert "1 left out" in result.output
    views = read_views(out)
    assert views["rgb"].size == (1920, 1080)
    grid = np.random.default_rng(1).uniform((0, 0), (1920, 1080), (50, 2))
    assert errors(np.array(views["tir"].homography), grid, project(TRUTH, grid)).max() < 0.1


def test_json_says_it_of_every_pair(points: Path) -> None:
    result = run("--points", points, "--json")
    (camera,) = json.loads(result.output)["cameras"]
    assert [point["number"] for point in camera["points"] if not point["used"]] == [5]
    assert camera["points"][4]["off"] == pytest.approx(40, abs=1)
    assert camera["median"] < 0.1


def test_nothing_that_it_did_not_make_is_replaced(points: Path, tmp_path: Path) -> None:
    own = tmp_path / "cameras.toml"
    own.write_text("[rgb]\nsize = [1920, 1080]\n")  # by hand
    before = as_written(own)
    assert "--force" in refused("--points", points, "--out", own)
    assert "is not a calibration that" in refused("--points", points, "--out", own, "--force")
    assert as_written(own) == before
    made = tmp_path / "made.toml"
    assert run("--points", points, "--out", made).exit_code == 0
    assert "exists already" in refused("--points", points, "--out", made)
    assert run("--points", points, "--out", made, "--force").exit_code == 0


def test_nothing_is_written_where_one_thing_cannot_be(points: Path, tmp_path: Path) -> None:
    out, saved = tmp_path / "cameras.toml", tmp_path / "saved.json"
    saved.write_text("{}")
    refused("--points", points, "--out", out, "--save", saved, "--force")
    assert not out.exists()
    assert saved.read_text() == "{}"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("nonsense", "damaged"),
        ({"points": []}, "sizes"),
        ({"sizes": {"tir": [640, 512]}, "points": []}, "rgb is missing"),
        ({"sizes": {"rgb": [9, 9]}, "points": []}, "another camera"),
        ({"sizes": {"rgb": [9, 9], "x": [9, 9]}, "points": []}, "no modality"),
        ({"sizes": SIZES, "points": [{"rgb": [1, 2], "nir": [1, 2]}]}, "point 1"),
        ({"sizes": SIZES, "points": [{"rgb": [1, 2], "tir": [700, 2]}]}, "outside of 640x512"),
        ({"sizes": SIZES, "points": pairs(3)}, "3 pairs of points: give at least 6"),
        ({"sizes": SIZES, "points": [{"rgb": [1, 1], "tir": [1, 1]}] * 8}, "on one line"),
        ({"sizes": SIZES, "format": "others", "points": []}, "format"),
    ],
)
def test_files_that_say_nothing_are_refused(tmp_path: Path, document: object, told: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    assert told in refused("--points", path, "--out", tmp_path / "cameras.toml")
    assert not (tmp_path / "cameras.toml").exists()


def test_what_is_asked_must_go_together(points: Path, tmp_path: Path) -> None:
    assert "say where points come from" in refused()
    assert "--points and --people" in refused("--points", points, "--people")
    assert "none is named" in refused("--board", "9x6")
    assert "of what?" in refused("--points", points, "--picture", tmp_path / "a.png")
    assert "go together" in refused("--points", points, "--rig", "tir=0.1,45")
    assert "name both" in refused("--board", "9x6", "--source", "rgb=file:a.mkv")


def test_parallax_is_told(points: Path) -> None:
    result = run("--points", points, "--rig", "tir=0.1,90", "--distance", "8")
    assert "4.0 at 4 m" in result.output


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float64]]:
    """A chessboard that is carried through both frames, and where the second camera has what the
    first one sees."""
    folder = tmp_path_factory.mktemp("board")
    truth = np.array([[0.5, 0.02, 5.0], [-0.01, 0.52, 8.0], [2e-5, 1e-5, 1.0]])
    for name in ("RGB", "TI"):
        (folder / name).mkdir()
    for number, (x, y) in enumerate([(60, 60), (300, 60), (60, 180), (280, 190)]):
        place = np.array([[18, -2, x], [2, 18, y], [2e-3, 1e-3, 1.0]])
        rgb = boards.draw(place, (560, 360), 7, 5)
        tir = boards.draw(truth @ place, (300, 210), 7, 5, levels=(200, 90), blur=1.0)
        Image.fromarray(np.stack([rgb] * 3, axis=-1)).save(folder / "RGB" / f"{number}.png")
        Image.fromarray(tir).save(folder / "TI" / f"{number}.png")
    return folder, truth


def test_a_board_becomes_a_calibration(
    recording: tuple[Path, NDArray[np.float64]], tmp_path: Path
) -> None:
    folder, truth = recording
    out, picture, saved = tmp_path / "c.toml", tmp_path / "c.png", tmp_path / "c.json"
    sources = [f"--source={m}=folder:{folder}" for m in ("rgb", "tir")]
    files = ("--out", out, "--picture", picture, "--save", saved)
    result = run(*sources, "--rate", "1", "--board", "7x5", *files)
    assert result.exit_code == 0, result.output
    assert "140 of 140 pairs agree" in result.output
    matrix = np.array(read_views(out)["tir"].homography)
    grid = np.random.default_rng(1).uniform((40, 40), (520, 320), (50, 2))
    assert errors(matrix, grid, project(truth, grid)).max() < 0.3
    shown = Image.open(BytesIO(picture.read_bytes()))
    assert shown.size == (2 * 560, 360)
    # The points that were found are a file of points.
    again = run("--points", saved, "--source", f"rgb=folder:{folder}", "--rate", "1")
    assert again.exit_code == 0, again.output


def test_a_board_that_is_not_there_is_said(
    recording: tuple[Path, NDArray[np.float64]], tmp_path: Path
) -> None:
    folder, _ = recording
    sources = [f"--source={m}=folder:{folder}" for m in ("rgb", "tir")]
    told = refused(*sources, "--rate", "1", "--board", "8x6", "--out", tmp_path / "c.toml")
    assert "a board of 8x6 corners was not seen" in told
    assert not list(tmp_path.iterdir())


CROPS = ROOT.parent / "shared" / "data" / "roadscene-crops" / "frames"


@pytest.mark.skipif(not CROPS.exists(), reason="needs roadscene-crops beside the checkout")
def test_real_frames_lie_on_each_other(tmp_path: Path) -> None:
    """Real pairs are registered: points that are the same in both give the identity back, and the
    picture of any of them can be drawn."""
    first = sorted((CROPS / "RGB").iterdir())[0]
    for of in ("RGB", "TI"):
        (tmp_path / of).mkdir()
        (tmp_path / of / first.name).write_bytes((CROPS / of / first.name).read_bytes())
    width, height = Image.open(first).size
    chance = np.random.default_rng(0)
    places = chance.uniform((10, 10), (width - 10, height - 10), (12, 2)).round(1).tolist()
    points = points_file(
        tmp_path / "points.json",
        [{"rgb": place, "tir": place} for place in places],
        sizes={"rgb": [width, height], "tir": [width, height]},
    )
    out = tmp_path / "c.toml"
    sources = [f"--source={m}=folder:{tmp_path}" for m in ("rgb", "tir")]
    picture = ("--picture", tmp_path / "c.png")
    result = run("--points", points, *sources, "--rate", "1", "--out", out, *picture)
    assert result.exit_code == 0, result.output
    assert np.abs(np.array(read_views(out)["tir"].homography) - np.eye(3)).max() < 1e-6
