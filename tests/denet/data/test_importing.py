"""Folders and tables as people have them, made into a data set."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import Result

from denet.data.importing.find import find_source
from denet.data.importing.pattern import parse_pattern
from denet.data.importing.proposal import propose
from denet.data.records import DataError, DataSet, open_data
from denet.graph import RGB_NIR_TIR
from tests.command import denet, refused
from tests.denet.data.layouts import draw, market1501

NAMED = ("--modality", "tir=flir", "--modality", "rgb=colour")


def made(source: Path, *options: object) -> Result:
    return denet("data", "import", source, "--out", source.parent / "new", *options)


def imported(source: Path, *options: object) -> DataSet:
    """The set that a source becomes."""
    result = made(source, "--yes", *options)
    assert result.exit_code == 0, result.output
    assert f"next: denet data {source.parent / 'new'}" in result.stdout
    return open_data(source.parent / "new")


def states(data: DataSet) -> dict[str, list[str]]:
    """Of every split, the missing state of each sample."""
    return {
        part: [RGB_NIR_TIR.state(r.images).name for r in getattr(data, part)]
        for part in ("train", "query")
    }


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """`colour/anna_c1_2.jpg` and `flir/anna_c1_2.png`, without the thermal image of one."""
    source = tmp_path / "own"
    for person in ("anna", "bob", "carl_maria", "dora"):
        for camera in (1, 3):
            for frame in (2, 10):
                draw(source / "colour" / f"{person}_c{camera}_{frame}.jpg")
                if (person, camera, frame) != ("anna", 3, 10):
                    draw(source / "flir" / f"{person}_c{camera}_{frame}.png")
    return source


def test_a_pattern_tells_modality_identity_camera_and_sample(cameras: Path) -> None:
    data = imported(cameras, "--pattern", "{modality}/{identity}_c{camera}_{frame}", *NAMED)
    assert (data.name, data.graph.modalities) == ("RGBNT201", ("rgb", "tir"))
    both = states(data)
    assert sorted(both["train"] + both["query"]) == ["rgb"] + ["rgb+tir"] * 15
    every = (*data.train, *data.query)
    assert {r.identity for r in every} == {1, 2, 3, 4}
    assert {r.camera for r in every} == {0, 2}
    assert len({r.identity for r in data.train}) == 2
    assert not {r.identity for r in data.train} & {r.identity for r in data.query}
    # Each link leads to the image that the table says it does, of one person at one moment.
    root = cameras.parent / "new"
    with (root / "sources.csv").open(newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    for record in every:
        images = {m: ref.path for m, ref in record.images.items()}
        told = {m: rows[path.relative_to(root).as_posix()] for m, path in images.items()}
        assert len({path.resolve().stem for path in images.values()}) == 1
        for modality, path in images.items():
            assert path.is_symlink()
            assert path.resolve() == Path(told[modality]["source"])
            assert path.resolve().stem.startswith(f"{told[modality]['identity']}_c")
            assert record.camera + 1 == int(told[modality]["camera"])


def test_it_is_guessed_as_well_and_in_the_order_of_numbers(cameras: Path) -> None:
    data = imported(cameras, *NAMED)
    first = next(r for r in (*data.train, *data.query) if r.name == "000002_cam1_0000")
    assert first.images["rgb"].path.resolve().name == "bob_c1_2.jpg"


def test_images_can_be_copied(cameras: Path) -> None:
    record = imported(cameras, "--copy", *NAMED).train[0]
    path = record.images["rgb"].path
    assert not path.is_symlink()
    assert record.open()["rgb"].size == (12, 24)


def test_the_split_is_drawn_by_a_seed(cameras: Path) -> None:
    source = find_source(cameras, None, None, ["tir=flir", "rgb=colour"])
    drawn = [
        {s.name for s in propose(cameras, source, train_share=0.5, seed=seed).samples
         if s.split == "train"}
        for seed in (0, 0, 1, 2, 3)
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn[2:])
    most = propose(cameras, source, train_share=0.99, seed=0)
    assert len({s.name[:6] for s in most.samples if s.split == "test"}) == 1


def test_it_is_shown_before_it_is_written(cameras: Path) -> None:
    result = made(cameras, "--dry-run", *NAMED)
    assert result.exit_code == 0
    for words in ("flir -> tir: 15", "colour -> rgb: 16", "carl_maria -> 3", "cameras: 2 (1, 3)"):
        assert words in result.stdout
    refused(made(cameras, *NAMED), "--yes", "--dry-run")
    assert not (cameras.parent / "new").exists()


def test_persons_in_folders_without_cameras(tmp_path: Path) -> None:
    source = tmp_path / "people"
    for person in ("Anna", "Bob", "Jürgen"):
        for i in (1, 2, 10):
            draw(source / person / f"{i}.jpg").rename(source / person / f"{i}.JPG")
    (source / "__MACOSX" / "Anna").mkdir(parents=True)
    (source / "__MACOSX" / "Anna" / "1.jpg").touch()
    (source / "Anna" / "._1.jpg").touch()
    data = imported(source)
    assert len(data.train) + len(data.query) == 9
    # Another camera for each sample of a person, so that the query alone is dropped.
    assert [r.camera for r in data.query[:3]] == [0, 1, 2]


def test_a_pattern_passes_over_what_it_does_not_name(tmp_path: Path) -> None:
    source = tmp_path / "own"
    for name in ("a/2024-01/x7_anna_1", "a/2024-02/y9_bob_1", "b/z/readme"):
        draw(source / f"{name}.jpg")
    result = made(source, "--yes", "--pattern", "**/*_{identity}_{frame}.jpg")
    assert result.exit_code == 0, result.output
    assert "left out, since it fits no pattern:" in " ".join(result.stdout.split())
    assert {r.identity for r in open_data(tmp_path / "new").train} <= {1, 2}


def table(source: Path, text: str) -> Path:
    path = source.parent / "people.csv"
    path.write_text(text)
    return path


ROWS = """path,identity,camera,modality,sample,weather
colour/anna_c1_2.jpg,anna,1,colour,a1,sun
flir/bob_c1_10.png,anna,1,flir,a1,sun
colour/bob_c1_2.jpg,bob,gate,colour,b1,rain
"""


def test_a_table_tells_what_pairs_the_modalities(cameras: Path) -> None:
    result = made(cameras, "--yes", "--csv", table(cameras, ROWS), *NAMED)
    assert result.exit_code == 0, result.output
    assert "columns that are not read: weather" in result.stdout
    data = open_data(cameras.parent / "new")
    records = {r.identity: r for r in (*data.train, *data.query)}
    assert {m: ref.path.resolve().name for m, ref in records[1].images.items()} == {
        "rgb": "anna_c1_2.jpg",
        "tir": "bob_c1_10.png",
    }
    assert set(records[2].images) == {"rgb"}
    assert (records[1].camera, records[2].camera) == (0, 1)


def test_a_table_needs_no_more_than_paths_and_identities(cameras: Path) -> None:
    text = "identity;path\nanna;colour/anna_c1_2.jpg\nbob;colour/bob_c1_2.jpg\n"
    assert states(imported(cameras, "--csv", table(cameras, text))) == {
        "train": ["rgb"],
        "query": ["rgb"],
    }


# What is refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,camera\na.jpg,1\n", "has no column 'identity'"),
        ("", "has no column 'path'"),
        ("path,identity\n", "has no row"),
        ("path,identity,path\nx,y,z\n", "the column 'path' twice"),
        ("path,identity\n../people.csv,anna\n", "line 2: '../people.csv' is outside of"),
        ("path,identity\n/etc/passwd,anna\n", "'/etc/passwd' is outside of"),
        ("path,identity\ncolour/none.jpg,anna\ncolour/no.jpg,bob\n", "(and 1 more), where there"),
        (
            "path,identity\ncolour/bob_c1_2.jpg,anna\ncolour/../colour/bob_c1_2.jpg,anna\n",
            "line 3: ",
        ),
        ("path,identity\ncolour/bob_c1_2.jpg\n", "line 2: has 1 cells in 2 columns"),
        ("path,identity\ncolour/bob_c1_2.jpg,\n", "line 2: identity is empty"),
        ("path,identity,modality\ncolour/bob_c1_2.jpg,b,sonar\n", "'sonar': unknown as a modality"),
        (
            "path,identity,modality,sample\ncolour/bob_c1_2.jpg,b,rgb,1\ncolour/bob_c1_10.jpg,b,rgb,1\n",
            "the same sample in rgb",
        ),
        ("path,identity\ncolour/bob_c1_2.jpg,b\n", "shows one identity"),
    ],
)
def test_a_table_that_is_wrong_is_one_line(cameras: Path, text: str, told: str) -> None:
    refused(made(cameras, "--yes", "--csv", table(cameras, text)), told)
    assert not (cameras.parent / "new").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "'colour', 'flir': unknown as a modality"),
        (("--pattern", "{modality}/{frame}"), "has no {identity}"),
        (("--pattern", "{who}/{identity}"), "unknown {who}"),
        (("--pattern", "{identity}/{identity}"), "{identity} twice"),
        (("--pattern", "x/{identity}.jpg"), "no image fits"),
        (("--pattern", "*/{identity}_c*", *NAMED), "{frame}"),
        (("--pattern", "{identity}", "--csv", "x.csv"), "exclude each other"),
        (("--csv", "none.csv"), "none.csv: cannot be read"),
        (("--modality", "sonar=x"), "--modality 'sonar=x'"),
        (("--modality", "tir=x", "--modality", "rgb=X"), "called tir as well"),
        (("--train-share", "1.5"), "between 0 and 1"),
    ],
)
def test_options_that_are_wrong_are_one_line(
    cameras: Path, options: tuple[str, ...], told: str
) -> None:
    refused(made(cameras, "--yes", *options), told)


def test_nothing_is_replaced(cameras: Path) -> None:
    (cameras.parent / "new").mkdir()
    refused(made(cameras, "--yes", *NAMED), "exists already")


def test_a_set_that_is_known_needs_no_import(tmp_path: Path) -> None:
    refused(made(market1501(tmp_path / "market"), "--yes"), "is Market-1501 data already")
    with pytest.raises(DataError, match="no such folder"):
        find_source(tmp_path / "none", None, None, [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        find_source(tmp_path / "empty", None, None, [])


def test_names_that_tell_nobody_need_a_pattern(tmp_path: Path) -> None:
    for name in ("holiday", "birthday"):
        draw(tmp_path / "own" / f"{name}.jpg")
    refused(made(tmp_path / "own", "--yes"), "--pattern", "--csv")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{identity}_c{camera}_{frame}.jpg", "a_b_c1_2_3.JPG", ("a_b", "1", "2_3")),
        ("{identity}/{frame}", "Jürgen/x.tiff", ("Jürgen", None, "x")),
        ("{identity}/{frame}.jpg", "a/x.png", None),
        ("{identity}/{frame}", "a/b/x.png", None),
        ("v1.0 (raw)/{identity}", "v1.0 (raw)/7.png", ("7", None, None)),
        ("v1.0/{identity}", "v1x0/7.png", None),
    ],
)
def test_patterns(pattern: str, path: str, expected: tuple[str | None, ...] | None) -> None:
    found = parse_pattern(pattern).match(path)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert tuple(found.get(name) for name in ("identity", "camera", "frame")) == expected
