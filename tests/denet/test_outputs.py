"""Whether a file may and can be written is asked in one way, before the work for it is done."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration.scores import SCORES, check_scores_file
from denet.checkpoint import CHECKPOINT, check_checkpoint, save_checkpoint
from denet.errors import DenetError
from denet.experiments.study import TABLE_FILE, write_table
from denet.figures.files import FIGURE
from denet.figures.style import new_figure, render
from denet.graph import RGB_NIR_TIR
from denet.initialize import initial_model
from denet.marks import PAGE, REPORT, OutputKind
from denet.outputs import check_output, check_place, check_room, write_output, write_together
from denet.report import FACTS, check_report
from runtime.benchmark.result import RESULT
from runtime.embeddings import EMBEDDINGS, Embedded, save_embeddings
from runtime.embeddings import check_output as check_embeddings
from tests.conftest import TINY
from tests.paths import ROOT, as_written


class OutError(DenetError):
    pass


OURS = b"<!DOCTYPE html>" + PAGE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report.pdf", "a report is written as .html: choose such a name"),
        ("none/report.html", "is in a folder that does not exist"),
        ("folder.html", "is a folder: choose another name"),
        ("there.html", "exists already: choose another name, or replace it with --force"),
        ("link.html", "cannot be written: it is a link that leads nowhere"),
        (f"{'x' * 300}.html", "cannot be written: "),
        ("there.html/report.html", "is in a folder that does not exist"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "there.html").touch()
    (tmp_path / "link.html").symlink_to("nowhere")
    path = tmp_path / name
    with pytest.raises(OutError, match=re.escape(f"{path}: {words}")):
        check_output(path, REPORT, OutError, replace=False)
    assert {p.name for p in tmp_path.iterdir()} == {"folder.html", "there.html", "link.html"}


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(OutError, match="cannot be written"):
        check_output(Path("a\0b.html"), REPORT, OutError, replace=False)


def test_what_is_there_may_be_replaced_and_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "there.html"
    path.write_bytes(OURS)
    check_output(path, REPORT, OutError, replace=True)
    assert path.read_bytes() == OURS
    write_output(path, b"new", REPORT, OutError)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutError, match="cannot be written"):
        write_output(tmp_path / "none" / "a.html", b"", REPORT, OutError)


def npz(path: Path, *names: str) -> None:
    np.savez(path, allow_pickle=False, **dict.fromkeys(names, np.zeros(1)))


def checkpoint(path: Path) -> None:
    save_checkpoint(initial_model(TINY, seed=0, pretrained=False), path)


def figure(path: Path) -> None:
    path.write_bytes(render(lambda: new_figure(1, 1)))


MADE: dict[str, tuple[OutputKind, Callable[[Path], object]]] = {
    "page": (REPORT, lambda p: p.write_bytes(OURS)),
    "facts": (FACTS, lambda p: p.write_text('{"format": "denet-report"}')),
    "benchmark": (RESULT, lambda p: p.write_text('{"format": "denet-benchmark"}')),
    "scores": (SCORES, lambda p: p.write_text('{"format": "denet-scores"}')),
    "embeddings": (
        EMBEDDINGS,
        lambda p: npz(
            p, "embeddings", "names", "states", "checkpoint", "projection", "precision", "backend"
        ),
    ),
    "checkpoint": (CHECKPOINT, checkpoint),
    "figure": (FIGURE, figure),
    "table": (TABLE_FILE, lambda p: write_table(p.parent, p.stem, "| a |\n")),
}

FOREIGN: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.touch(),
    "text": lambda p: p.write_text("my thesis"),
    "page": lambda p: p.write_text("<!DOCTYPE html><html><head></head></html>"),
    "json": lambda p: p.write_text('{"format": "mine", "name": "my web app"}'),
    "list": lambda p: p.write_text("[]"),
    "deep": lambda p: p.write_text("[" * 100_000),
    "arrays": lambda p: np.savez(p.open("wb"), names=np.zeros(3)),
    "zip": lambda p: zipfile.ZipFile(p, "w").close(),
    "picture": lambda p: Image.new("RGB", (2, 2)).save(p, format="png"),
    "tensors": lambda p: p.write_bytes((2).to_bytes(8, "little") + b"{}"),
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", MADE)
def test_only_what_denet_wrote_is_replaced(kind: str, tmp_path: Path) -> None:
    expected, make = MADE[kind]
    ours = tmp_path / f"ours{expected.suffix}"
    make(ours)
    check_output(ours, expected, OutError, replace=True)
    link = tmp_path / f"link{expected.suffix}"
    link.symlink_to(ours.name)
    check_output(link, expected, OutError, replace=True)
    for name, write in FOREIGN.items():
        path = tmp_path / f"{name}{expected.suffix}"
        write(path)
        before = as_written(path)
        for attempt in (check_output, lambda p, k, e, replace: write_output(p, b"", k, e)):
            with pytest.raises(OutError, match=re.escape(f"{path}: is there and is not")):
                attempt(path, expected, OutError, replace=True)
        assert as_written(path) == before


def test_a_checkpoint_that_is_cut_off_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DenetError, match="is not a whole checkpoint"):
        check_checkpoint(path, replace=True)


@pytest.mark.parametrize(
    ("check", "kind", "what"),
    [
        (check_embeddings, "embeddings", "embeddings are written as .npz"),
        (check_scores_file, "scores", "scores are written as .json"),
        (lambda path: check_report(path, replace=True), "page", "a report is written as .html"),
    ],
)
def test_every_command_asks_so(
    tmp_path: Path, check: Callable[[Path], None], kind: str, what: str
) -> None:
    expected, make = MADE[kind]
    suffix = expected.suffix
    check(tmp_path / f"a{suffix}")
    make(tmp_path / f"there{suffix}")
    check(tmp_path / f"there{suffix}")
    with pytest.raises(DenetError, match=what):
        check(tmp_path / "a.txt")
    with pytest.raises(DenetError, match="does not exist"):
        check(tmp_path / "none" / f"a{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(DenetError, match="is a folder"):
        check(tmp_path / f"folder{suffix}")


# Places


def test_a_disk_without_room_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_place(tmp_path / "new", OutError, size=1 << 20)
    with pytest.raises(OutError, match=r"new: cannot be written: there is room for .* MB, and it"):
        check_place(tmp_path / "new", OutError, size=1 << 60)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutError, match="No space left"):
        check_place(tmp_path / "new", OutError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EBUSY])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_moved_away_is_found_before_the_work(
    tmp_path: Path, kind: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "there"
    path.touch() if kind == "file" else path.mkdir()
    check_place(path, OutError)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutError, match="there: cannot be written"):
        check_place(path, OutError)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_to_be_made_is_tried_where_it_will_be(tmp_path: Path) -> None:
    check_room(tmp_path / "a" / "b" / "c", OutError)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutError, match=r"is a file|Not a directory"):
            check_room(path, OutError)
    with pytest.raises(OutError, match="room for"):
        check_room(tmp_path / "a" / "b", OutError, size=1 << 60)


MOUNTED = """
import json, subprocess, sys
from pathlib import Path
from denet.errors import DenetError
from denet.outputs import check_place

base = Path(sys.argv[1])

def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)

folder, file, still, layers = (base / n for n in ("a folder", "file", "still", "layers"))
for each in (folder, still, layers, base / "other"):
    each.mkdir()
file.touch()
(base / "another").touch()
mount("--bind", base / "other", folder)
mount("--bind", base / "another", file)
mount("--bind", still, still)
mount("-o", "remount,bind,ro", still)
mount("-t", "tmpfs", "tmpfs", layers)
for each in ("lower/model", "upper", "work", "merged"):
    (layers / each).mkdir(parents=True)
parts = ",".join(f"{part}dir={layers}/{part}" for part in ("lower", "upper", "work"))
mount("-t", "overlay", "-o", parts, "overlay", layers / "merged")
found = {}
for path in (folder, file, still / "new", layers / "merged" / "model", layers / "merged" / "new"):
    try:
        check_place(path, DenetError)
    except DenetError as error:
        found[str(path.relative_to(base))] = str(error)
print(json.dumps(found))
"""


def test_mounts_are_found_before_the_work(tmp_path: Path) -> None:
    command = ["unshare", "-m", sys.executable, "-c", MOUNTED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr[-200:]}")
    found = json.loads(done.stdout)
    assert found.keys() == {"a folder", "file", "still/new", "layers/merged/model"}
    assert "it is a mount point" in found["a folder"]
    assert "it is a mount point" in found["file"]
    assert "Read-only file system" in found["still/new"]
    assert "it is part of an image that is read-only" in found["layers/merged/model"]


# Who may read


@pytest.mark.parametrize("kind", MADE)
def test_what_holds_people_is_for_its_owner_alone(kind: str, tmp_path: Path) -> None:
    expected, _ = MADE[kind]
    path = tmp_path / f"new{expected.suffix}"
    before = os.umask(0o022)
    try:
        write_output(path, b"", expected, OutError)
    finally:
        os.umask(before)
    people = kind in ("scores", "embeddings")
    assert stat.S_IMODE(path.stat().st_mode) == (0o600 if people else 0o644)


def test_embeddings_are_private_and_known_again(tmp_path: Path) -> None:
    path = tmp_path / "new.npz"
    graph = RGB_NIR_TIR
    one = np.zeros((1, 2), np.float32)
    found = Embedded(graph, ("alice",), (graph.complete,), one, {})
    manifest = SimpleNamespace(checkpoint_sha256="0", projection_digest="")
    runtime: Any = SimpleNamespace(
        bundle=SimpleNamespace(manifest=manifest), precision="fp32", backend="ort-cpu"
    )
    for _ in range(2):
        check_embeddings(path)
        save_embeddings(path, found, runtime)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert EMBEDDINGS.made(path)
    np.savez(path, names=np.zeros(1))
    with pytest.raises(DenetError, match="is not a file of embeddings"):
        save_embeddings(path, found, runtime)


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path) -> None:
    kind = OutputKind(".txt", "a text is", "a text of ours", lambda _: True)
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    whole = {path: (kind, lambda new: new.write_text("new")) for path in (first, second)}
    with pytest.raises(OutError, match=r"b\.txt"):
        write_together({**whole, second: (kind, full)}, OutError, replace=True)
    assert list(tmp_path.iterdir()) == []
    write_together(whole, OutError, replace=True)
    assert [path.read_text() for path in (first, second)] == ["new", "new"]
