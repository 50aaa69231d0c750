"""`denet track` from end to end, on a street whose people are known."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli import app
from runtime.node.demo.demonstration import BUNDLE
from runtime.node.recorded import whole
from tests.paths import as_written
from tests.runtime.node.recorded.conftest import COUNT, RATE, Drawn

av = pytest.importorskip("av")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["track", *map(str, arguments)])


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def folders(drawn: Drawn) -> list[str | Path]:
    recordings = ["--rgb", drawn.folder, "--tir", drawn.folder, "--rate", str(RATE)]
    return [*recordings, "--bundle", BUNDLE, "--boxes", f"file:{drawn.boxes}"]


def films(drawn: Drawn) -> list[str | Path]:
    recordings = ["--rgb", drawn.rgb, "--tir", drawn.tir, "--bundle", BUNDLE]
    return [*recordings, "--boxes", f"file:{drawn.timed}"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tracked(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes out of folders, with a gallery."""
    out = tmp_path_factory.mktemp("tracked") / "annotated.mp4"
    result = run(*folders(drawn), "--gallery", drawn.gallery, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{COUNT} frames" in result.output
    return out


def test_each_person_is_one_track_in_every_frame(drawn: Drawn, tracked: Path) -> None:
    """Rows have the boxes of the truth, each person under one number, though they cross. Only
    the first box of a track, which nothing confirmed yet, has no row."""
    found: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    table = rows(tracked.with_suffix(".csv"))
    for row in table:
        truth = drawn.truth[int(row["frame"]) - 1]
        box = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        (whose,) = [p for p, at in truth.items() if np.allclose(at, box, atol=0.011)]
        found[whose][row["track"]] += 1
    for person, counts in found.items():
        seen = sum(person in at for at in drawn.truth)
        assert len(counts) == 1
        assert counts.total() == seen - 1
    # Of drawn frames a few look torn; the rest of the sensors goes on.
    states = Counter(row["state"] for row in table)
    assert states["rgb+tir"] > 0.9 * states.total()


def test_a_name_is_there_from_the_first_row(drawn: Drawn, tracked: Path) -> None:
    """Though the gallery knew it only after some frames; and nobody else has it."""
    table = rows(tracked.with_suffix(".csv"))
    by_track = {row["track"]: row["identity"] for row in table}
    first = drawn.truth[int(table[0]["frame"]) - 1]
    assert list(first) == [0]
    assert by_track == {"1": "alice", "2": ""}
    assert {row["track"] for row in table if row["identity"] == "alice"} == {"1"}


def test_the_mot_file_says_the_same(tracked: Path) -> None:
    """Read by hand as MOTChallenge's developers' kit does: comma-separated numbers."""
    table = rows(tracked.with_suffix(".csv"))
    numbers = np.loadtxt(tracked.with_name("annotated.mot.txt"), delimiter=",", ndmin=2)
    assert numbers.shape == (len(table), 10)
    assert (numbers[:, 6:] == (1, -1, -1, -1)).all()
    for row, line in zip(table, numbers, strict=True):
        assert (int(row["frame"]), int(row["track"])) == tuple(line[:2])
        right, bottom = line[2] + line[4], line[3] + line[5]
        sides = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        assert sides == pytest.approx([line[2], line[3], right, bottom], abs=0.006)


def test_the_film_has_every_frame_at_its_time(tracked: Path) -> None:
    with av.open(str(tracked)) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode()]
    assert [time for time, _ in shown] == pytest.approx([i / RATE for i in range(COUNT)], abs=1e-4)
    heights = {picture.shape for _, picture in shown}
    assert heights == {(152 + 52, 2 * 240, 3)}
    # A box is drawn in both panels, in a colour that grey pictures lack.
    saturation = np.ptp(shown[30][1][60:].astype(int), axis=2)
    assert (saturation[:, 240:] > 60).sum() > 200


@pytest.mark.parametrize("form", ["folders", "films"])
def test_the_same_recordings_give_the_same_rows(drawn: Drawn, tmp_path: Path, form: str) -> None:
    given = folders(drawn) if form == "folders" else films(drawn)
    written = []
    for name in ("one", "two"):
        assert run(*given, "--out", tmp_path / f"{name}.csv").exit_code == 0
        files = (tmp_path / f"{name}.csv", tmp_path / f"{name}.mot.txt")
        written.append([file.read_bytes() for file in files])
    assert written[0] == written[1]
    assert len(written[0][0].splitlines()) > COUNT


def test_films_of_two_rates_lose_no_frame(drawn: Drawn, tmp_path: Path) -> None:
    out = tmp_path / "annotated.mp4"
    result = run(*films(drawn), "--out", out, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["moments"] == COUNT
    assert facts["states"]["rgb+tir"] > 0.9 * COUNT
    assert facts["tracks"] == 2
    assert facts["remarks"] == []
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / RATE for i in range(COUNT)], abs=1e-3)


def test_motion_finds_people_without_a_model(drawn: Drawn, tmp_path: Path) -> None:
    recordings = ["--rgb", drawn.folder, "--tir", drawn.folder, "--rate", str(RATE)]
    result = run(*recordings, "--bundle", BUNDLE, "--out", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output
    assert len(rows(tmp_path / "a.csv")) > 20


def test_one_sensor_alone_will_do(drawn: Drawn, tmp_path: Path) -> None:
    given = ["--tir", drawn.folder, "--rate", str(RATE), "--bundle", BUNDLE]
    result = run(*given, "--boxes", f"file:{drawn.boxes}", "--out", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output
    assert {row["state"] for row in rows(tmp_path / "a.csv")} == {"tir"}


def test_a_configuration_of_a_node_may_be_named(drawn: Drawn, tmp_path: Path) -> None:
    source = f'url = "folder:{drawn.folder}"\nrate = {RATE}\nloop = true\n'
    config = tmp_path / "node.toml"
    config.write_text(
        f'name = "a"\n[model]\nbundle = "{BUNDLE}"\n[sources.rgb]\n{source}[sources.tir]\n{source}'
        f'[boxes]\nfile = "{drawn.boxes}"\n[events.lines]\npath = "{tmp_path}/events.jsonl"\n'
    )
    result = run("--config", config, "--out", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output
    assert f"{COUNT} frames" in result.output
    assert not (tmp_path / "events.jsonl").exists()
    assert "give either" in refused("--config", config, "--bundle", BUNDLE, "--out", "b.csv")
    config.write_text(config.read_text().replace(f"folder:{drawn.folder}", "v4l2:/dev/video9"))
    config.write_text(config.read_text().replace(f"rate = {RATE}\nloop = true\n", ""))
    assert "is a camera" in refused("--config", config, "--out", tmp_path / "b.csv")


def test_an_interrupt_leaves_nothing(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = whole.draw
    calls = Counter[str]()

    def interrupted(*given: object) -> object:
        calls["draw"] += 1
        if calls["draw"] == 20:
            raise KeyboardInterrupt
        return drawing(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(whole, "draw", interrupted)
    result = run(*folders(drawn), "--out", tmp_path / "annotated.mp4")
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())


def test_what_it_did_not_make_stays(drawn: Drawn, tracked: Path, tmp_path: Path) -> None:
    """Also a file of the MOTChallenge that belongs to nobody's table."""
    for name, content in (
        ("a.csv", "frame,time\n1,2\n"),
        ("a.mot.txt", "1,1,2,3,4,5,1,-1,-1,-1\n"),
        ("a.mp4", "\0\0\0\x20ftypisom"),
    ):
        path = tmp_path / name
        path.write_text(content)
        before = as_written(path)
        told = refused(*folders(drawn), "--out", tmp_path / "a.mp4", "--force")
        assert f"{name}: is there and is not" in told
        assert as_written(path) == before
        assert [each.name for each in tmp_path.iterdir()] == [name]
        path.unlink()
    again = run(*folders(drawn), "--out", tracked, "--force")
    assert again.exit_code == 0, again.output


def test_what_cannot_be_is_refused(drawn: Drawn, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    assert "name one at least" in refused("--bundle", BUNDLE, "--out", out)
    assert "--bundle: is missing" in refused("--rgb", drawn.rgb, "--out", out)
    assert "choose NAME.mp4" in refused(*films(drawn), "--out", tmp_path / "a.avi")
    gone = refused("--rgb", tmp_path / "none.mkv", "--bundle", BUNDLE, "--out", out)
    assert "no such video file" in gone
    assert "a folder has no pace" in refused(
        "--rgb", drawn.folder, "--bundle", BUNDLE, "--out", out
    )
    whole_frames = refused(*films(drawn)[:-1], "crops", "--out", out)
    assert "each frame is the crop of one person" in whole_frames
    assert not list(tmp_path.iterdir())
