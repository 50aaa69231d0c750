"""`denet gallery`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.scores import write_scores
from denet.graph import RGB_NIR_TIR
from tests.command import denet, refused
from tests.paths import ROOT
from tests.runtime.gallery.people import posix, table_of

STATES = RGB_NIR_TIR.states


SAMPLES = ROOT / "docs" / "samples"

DRAWN = table_of({(STATES[0], STATES[0]): [0.1]})


@pytest.fixture(scope="module")
def embedded(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "e.npz"
    assert denet("embed", bundle_path, SAMPLES, "--every-state", "--out", out).exit_code == 0
    return out


def test_from_images_to_a_match(bundle_path: Path, path: Path) -> None:
    done = denet("gallery", "enrol", path, SAMPLES, "--bundle", bundle_path)
    assert done.exit_code == 0, done.output
    assert "enrolled 000001, 000002, 000003 and 3 more, new entries: 6" in done.output
    image = SAMPLES / "TI" / "000004_cam1_0_00.jpg"
    one = ("gallery", "enrol", path, "--bundle", bundle_path, "--tir", image, "--identity", "dora")
    assert json.loads(denet(*one, "--json").stdout)["enrolled"] == [
        {"entry": 7, "identity": "dora"}
    ]
    look = ("gallery", "search", path, "--bundle", bundle_path, "--tir", image, "--top", 2)
    match = json.loads(denet(*look, "--json").stdout)["queries"][0]["matches"][0]
    assert (match["identity"], match["entry"], match["state"]) == ("dora", 7, "tir")
    assert match["cosine"] == pytest.approx(1, abs=1e-4)
    assert "dora" in denet(*look).output
    assert "no match" in denet(*look, "--threshold", 1.1).output


def test_from_a_file_of_embeddings(embedded: Path, path: Path) -> None:
    assert denet("gallery", "enrol", path, "--embeddings", embedded).exit_code == 0
    listed = denet("gallery", "list", path)
    assert "000003" in listed.output
    assert "rgb+nir+tir (1), rgb+nir (1)" in listed.output
    facts = json.loads(denet("gallery", "list", path, "--identity", "000002", "--json").stdout)
    assert [e["state"] for e in facts["entries"]] == [s.name for s in STATES]
    assert facts["entries"][0]["source"] == f"{embedded}: 000002_cam1_0_00"
    done = denet("gallery", "remove", path, "000002", "--entry", facts["entries"][0]["entry"])
    assert "entries of 000002 removed: 1" in done.output
    assert denet("gallery", "remove", path, "000002").exit_code == 0
    refused(denet("gallery", "remove", path, "000002"), str(path), "no identity '000002'")
    assert "000002" not in denet("gallery", "list", path).output


def test_scores_from_data_to_a_search(
    bundle_path: Path, data: Path, embedded: Path, path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    done = denet("gallery", "calibrate", bundle_path, data, "--out", out)
    assert done.exit_code == 0, done.output
    assert "tells false-match rates down to" in done.output
    denet("gallery", "enrol", path, "--embeddings", embedded)
    command = ("gallery", "search", path, "--embeddings", embedded, "--scores", out, "--fmr", 0.1)
    facts = json.loads(denet(*command, "--json").stdout)
    for query in facts["queries"]:
        best = query["matches"][0]
        assert best["identity"] == query["query"].partition("_")[0]
        assert best["state"] == query["state"]
        assert all(0 < m["false_match_rate"] <= 0.1 for m in query["matches"])
    assert "< 0.0" in denet(*command).output  # of oneself: less than can be told
    refused(denet(*command[:-1], 1e-9), "scores.json", "cannot be told")
    refused(denet(*command[:-2], "--threshold", 0.5), "--fmr")
    table = json.loads(out.read_text())
    pairs = [pair for row in table["pairs"].values() for pair in row.values()]
    # 12 people by 3 cameras, 2 shots each: 72 samples.
    assert len(pairs) == 49
    assert {p["impostors"] for p in pairs} == {72 * 66, 72 * 66 // 2}
    assert {p["genuine"] for p in pairs} == {72 * 4, 72 * 4 // 2}


def test_scores_that_cannot_be_written(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    for out, word in ((tmp_path / "x.txt", ".json"), (tmp_path / "no" / "x.json", "folder")):
        refused(denet("gallery", "calibrate", bundle_path, data, "--out", out), word)
    train = tmp_path / "train-only"
    train.mkdir()
    (train / "train").symlink_to(data / "train")
    refused(
        denet("gallery", "calibrate", bundle_path, train, "--out", tmp_path / "x.json"),
        "no test data",
    )
    with pytest.raises(CalibrationError, match=r"x\.json: cannot be written"):
        write_scores(DRAWN, tmp_path / "no" / "x.json")
    assert list(tmp_path.iterdir()) == [train]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("enrol", "g.db"), "name images"),
        (("enrol", "g.db", SAMPLES), "--bundle"),
        (("enrol", "g.db", SAMPLES, "--embeddings", "{npz}"), "stands alone"),
        (("enrol", "g.db", "--embeddings", "absent.npz"), "absent.npz: cannot be read"),
        (("enrol", "g.db", "--embeddings", __file__), "not a file of embeddings"),
        (("enrol", "redis://g", "--embeddings", "{npz}"), "no kind of gallery 'redis'"),
        (("enrol", "g.db", "--embeddings", "{npz}", "--storage", "bits"), "float16"),
        (("enrol", "no/g.db", "--embeddings", "{npz}"), "folder does not exist"),
        (("search", "g.db", "--embeddings", "{npz}"), "no such gallery"),
        (("search", "g.db", "--embeddings", "{npz}", "--fmr", "0.1"), "needs --scores"),
        (("list", "g.db"), "no such gallery"),
        (("remove", "g.db", "alice"), "no such gallery"),
    ],
)
def test_bad_commands_are_one_line_and_leave_nothing(
    arguments: tuple[object, ...],
    word: str,
    embedded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [str(a).replace("{npz}", str(embedded)) for a in arguments]
    refused(denet("gallery", *filled), word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"embeddings": np.ones((42, 4), np.float32)}, "norm 2"),
        ({"embeddings": np.float32(1)}, "not a file of embeddings"),
        ({"names": np.array(["a"])}, "1 names"),
        ({"states": np.array(["uv"] * 42)}, "uv"),
    ],
)
def test_damaged_embeddings_are_refused(
    embedded: Path, path: Path, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    with np.load(embedded) as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "bad.npz", **(arrays | change))
    command = ("gallery", "enrol", path, "--embeddings", tmp_path / "bad.npz")
    refused(denet(*command), "bad.npz", "not those that were written")
    del arrays["digest"]  # of before there was one
    np.savez(tmp_path / "bad.npz", **(arrays | change))
    refused(denet(*command), "bad.npz", word)
    assert not path.exists()


@posix
def test_a_command_on_a_full_disk_is_one_line(embedded: Path, path: Path) -> None:
    import resource

    assert denet("gallery", "enrol", path, "--embeddings", embedded).exit_code == 0
    before = path.stat().st_size
    done = subprocess.run(
        [sys.executable, "-m", "cli", "gallery", "enrol", path, "--embeddings", embedded],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (before // 2, before // 2)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {path}: the disk")
    assert done.stderr.count("\n") == 1
    assert len(json.loads(denet("gallery", "list", path, "--json").stdout)["entries"]) == 42
