"""A check runs real frames through all of a node, and says what came out, or why nothing did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.folders import folder_of
from tests.command import denet, refused
from tests.paths import SAMPLES
from tests.runtime.node.parts import MODALITIES, written
from tests.runtime.node.test_check import everything

SIZE = (160, 120)
MOMENTS = 6
BOX = [60, 20, 100, 110]


def record(root: Path, sizes: dict[str, tuple[int, int]] | None = None, dark: str = "") -> Path:
    """Frames of three sensors with noise, each of its size; one of them may be black."""
    chance = np.random.default_rng(0)
    for m in MODALITIES:
        folder = root / folder_of(m)
        folder.mkdir(parents=True)
        width, height = (sizes or {}).get(m, SIZE)
        for moment in range(MOMENTS):
            shape = (height, width, 3) if m == "rgb" else (height, width)
            pixels = chance.integers(60, 200, shape, dtype=np.uint8)
            pixels //= 40 if m == dark else 1
            Image.fromarray(pixels).save(folder / f"{moment:06}.png")
    return root


def boxes_of(root: Path, box: list[int], prefix: str = "", people: int = 1) -> Path:
    lines = (
        json.dumps({"name": f"{prefix}{moment:06}", "boxes": [box] * people})
        for moment in range(MOMENTS)
    )
    return written(root / "boxes.jsonl", "\n".join(lines) + "\n")


@pytest.fixture
def configured(bundle_path: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a configuration of a recording in `tmp_path`, with more sections."""

    def configure(more: str = "") -> Path:
        source = f'url = "folder:{tmp_path}/night"\nrate = 20\n'
        sources = "".join(f"[sources.{m}]\n{source}" for m in MODALITIES)
        model = f'name = "a"\n[model]\nbundle = "{bundle_path}"\nbackend = "ort-cpu"\n'
        return written(tmp_path / "node.toml", model + sources + more)

    return configure


def test_it_says_what_came_out(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night")
    boxes = boxes_of(tmp_path, BOX, people=3)
    config = configured(f'[boxes]\nfile = "{boxes}"\n')
    before = everything(tmp_path)
    done = denet("node", "check", config)
    assert done.exit_code == 0, done.output
    assert re.search(r"ok: trial: 6 frames, 3 persons, state rgb\+nir\+tir, \d+ ms\n", done.output)
    assert everything(tmp_path) == before


def test_a_recording_of_samples_needs_no_boxes(bundle_path: Path, tmp_path: Path) -> None:
    source = f'url = "folder:{SAMPLES}"\nrate = 20\n'
    sources = "".join(f"[sources.{m}]\n{source}" for m in MODALITIES)
    text = f'name = "a"\n[model]\nbundle = "{bundle_path}"\n{sources}'
    done = denet("node", "check", written(tmp_path / "node.toml", text))
    assert re.search(r"ok: trial: 6 frames, 1 person, state rgb\+nir\+tir, ", done.output)


def test_a_sensor_that_is_left_out_at_times_is_remarked(
    configured: Callable[[str], Path], tmp_path: Path
) -> None:
    record(tmp_path / "night")
    (tmp_path / "night" / "TI" / "000002.png").write_bytes(b"damaged")
    (tmp_path / "night" / "NI" / "000003.png").unlink()
    done = denet("node", "check", configured(""))
    assert done.exit_code == 0, done.output
    assert re.search(r"ok: trial: tir: left out of 1 of 6 frames: ", done.output)
    assert re.search(r"ok: trial: nir: left out of 1 of 6 frames: ", done.output)


def test_a_black_sensor(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night", dark="nir")
    refused(
        denet("node", "check", configured("")),
        "sources.nir: healthy in none of 6 frames: black: ",
        "see that it is not covered",
        "health.nir.black_level",
    )


def test_nobody_is_found(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night")
    config = configured(f'[boxes]\nfile = "{boxes_of(tmp_path, BOX, prefix="frame-")}"\n')
    refused(
        denet("node", "check", config),
        "boxes: nobody was found in 6 frames, the first of which is called '000000'",
        "boxes.jsonl have the names or times of these frames",
    )
    assert denet("node", "check", config, "--empty").exit_code == 0
    config = configured("[boxes.motion]\nlearning = 0.02\n")
    refused(denet("node", "check", config), "nobody was found", "walk through the picture")


def test_all_boxes_are_outside(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night")
    boxes = boxes_of(tmp_path, [500, 20, 540, 110])
    refused(
        denet("node", "check", configured(f'[boxes]\nfile = "{boxes}"\n')),
        "boxes: outside: all 6 boxes, such as 500 20 540 110, lie outside of the frames",
        "rgb 160x120",
        "in pixels of the RGB frame",
    )


def test_sizes_differ(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night", {"tir": (80, 60)})
    more = f'[boxes]\nfile = "{boxes_of(tmp_path, BOX)}"\n'
    refused(
        denet("node", "check", configured(more)),
        "boxes: sizes differ: frames are rgb 160x120, nir 160x120, tir 80x60",
        "boxes.calibration",
    )
    text = "[rgb]\nsize = [160, 120]\n[nir]\nsize = [160, 120]\n[tir]\nsize = [80, 60]\n"
    text += "homography = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]]\n"
    views = written(tmp_path / "cameras.toml", text)
    done = denet("node", "check", configured(f'{more}calibration = "{views}"\n'))
    assert re.search(r"6 frames, 1 person, state", done.output), done.output


def test_pictures_that_cannot_be_decoded(configured: Callable[[str], Path], tmp_path: Path) -> None:
    record(tmp_path / "night")
    for path in (tmp_path / "night" / "TI").iterdir():
        path.write_bytes(path.read_bytes()[:80])
    refused(
        denet("node", "check", configured("")),
        "sources.tir",
        ".png: cannot be read",
        "see that the file or stream is whole",
    )


def test_a_function_that_raises(
    configured: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "night")
    written(tmp_path / "raising_finder.py", "def find(frames, time):\n    return frames['uv']\n")
    monkeypatch.chdir(tmp_path)
    config = configured('[boxes]\ncall = "raising_finder:find"\n')
    before = everything(tmp_path)
    refused(
        denet("node", "check", config),
        "boxes.call: raising_finder:find raises KeyError: 'uv'",
        "left, top, right and bottom",
    )
    assert everything(tmp_path) == before, "no compiled copy is left beside it"


def test_only_what_is_whole_is_tried(configured: Callable[[str], Path], tmp_path: Path) -> None:
    """A camera that is away is said once."""
    record(tmp_path / "night")
    for path in (tmp_path / "night" / "TI").iterdir():
        path.unlink()
    done = denet("node", "check", configured(""))
    refused(done, "sources.tir", "no tir images")
    assert "trial" not in done.output
