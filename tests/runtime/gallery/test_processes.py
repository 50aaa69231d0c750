"""Threads and processes that share a gallery; ones that are killed, and disks that are full."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.gallery import Gallery, GalleryError, database, open_gallery
from tests.paths import ROOT
from tests.runtime.gallery.people import SPACE, person, posix, search, unit


def test_a_reader_sees_what_another_writes(path: Path, gallery: Gallery) -> None:
    vector = unit(1)[0]
    with open_gallery(str(path)) as reader:
        assert search(reader, vector) == []
        gallery.enrol(SPACE, [person("alice", vector)])
        assert search(reader, vector)[0].identity == "alice"
        reader.enrol(SPACE, [person("bob", vector)])
        assert [m.identity for m in search(gallery, vector)] == ["alice", "bob"]
        gallery.remove("alice")
        assert [m.identity for m in search(reader, vector)] == ["bob"]


def test_a_writer_waits_for_another(
    path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, lambda: holder.execute("COMMIT"))
    timer.start()
    assert gallery.enrol(SPACE, [person("alice", unit(1)[0])]) == [1]
    timer.join()
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    with open_gallery(str(path)) as hasty:
        assert search(hasty, unit(1)[0])[0].identity == "alice"  # reading does not wait
        with pytest.raises(GalleryError, match="another process is writing"):
            hasty.enrol(SPACE, [person("bob", unit(1)[0])])
    holder.close()
    assert [e.identity for e in gallery.entries()] == ["alice"]


def test_threads_take_turns(gallery: Gallery) -> None:
    vectors = unit(64)
    failures: list[BaseException] = []

    def work(rows: range) -> None:
        try:
            for i in rows:
                gallery.enrol(SPACE, [person(f"p{i}", vectors[i])])
                assert search(gallery, vectors[i], top=1)[0].identity == f"p{i}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(range(n, 64, 4),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(gallery.entries()) == 64


def script(text: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with this checkout's modules."""
    prelude = (
        "import os, sys, random, signal, time\nimport numpy as np\n"
        "from denet.graph import RGB_NIR_TIR\n"
        "STATES = RGB_NIR_TIR.states\n"
        "from runtime.gallery import Enrolment, GalleryError, Space, open_gallery\n"
        "SPACE = Space(8, 'a' * 64, 'b' * 64)\n"
        "def vector(n):\n"
        "    v = np.random.default_rng(n).standard_normal(8)\n"
        "    return (v / np.linalg.norm(v)).astype(np.float32)\n"
        "def person(n):\n"
        "    return Enrolment(f'p{n}', STATES[n % 7], vector(n))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + text, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
        **options,
    )


KILLED = """
path, rounds = sys.argv[1], int(sys.argv[2])
moments = random.Random(0)
told = 0
for round in range(rounds):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with open_gallery(path, create=True) as gallery:
            for n in range(round * 10000, round * 10000 + 10000, 3):
                gallery.enrol(SPACE, [person(n), person(n + 1), person(n + 2)])
                os.write(write, b'%d\\n' % n)
        os._exit(0)
    os.close(write)
    # In every fourth round while it opens; else when it has said so much, and a little later.
    with os.fdopen(read, 'rb') as pipe:
        said = [pipe.readline() for _ in range(round % 4)]
        time.sleep(moments.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += pipe.readlines()
    try:
        with open_gallery(path, create=True) as gallery:
            kept = {e.identity: e.id for e in gallery.entries()}
            asked = [int(n) + more for n in said for more in range(3)]
            if asked:
                found = gallery.search(SPACE, np.stack([vector(n) for n in asked]),
                                       [STATES[n % 7] for n in asked], top=1)
                for n, matches in zip(asked, found, strict=True):
                    assert matches[0].identity == f'p{n}' and matches[0].cosine > 0.9999, n
            assert len(kept) % 3 == 0, 'an enrolment is there in part'
            told += len(asked)
    except GalleryError as error:
        sys.exit(f'round {round}: {error}')
print(told, len(kept))
"""


@posix
def test_what_was_acknowledged_survives_a_kill_at_any_moment(path: Path) -> None:
    done = script(KILLED, path, 48)
    assert done.returncode == 0, done.stderr
    told, kept = map(int, done.stdout.split())
    assert 180 <= told <= kept  # what was on its way may be there too, whole


TOGETHER = """
for gallery_number in range(20):
    path = f'{sys.argv[1]}{gallery_number}'
    children = []
    start = time.monotonic() + 0.02
    for worker in range(4):
        child = os.fork()
        if child == 0:
            try:
                while time.monotonic() < start:
                    pass
                with open_gallery(path, create=True) as gallery:
                    for n in range(3):
                        gallery.enrol(SPACE, [person(worker * 3 + n)])
                os._exit(0)
            except BaseException as error:
                os.write(2, f'{error}\\n'.encode())
                os._exit(1)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    with open_gallery(path) as gallery:
        print(codes, len(gallery.entries()))
"""


@posix
def test_processes_may_make_a_gallery_at_the_same_time(path: Path) -> None:
    """Twenty galleries: that two processes meet in the moment that matters is a matter of luck."""
    done = script(TOGETHER, path)
    assert done.stdout.splitlines() == ["[0, 0, 0, 0] 12"] * 20, done.stdout + done.stderr


FULL = """
import resource
path = sys.argv[1]
kept = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    with open_gallery(path, create=True) as gallery:
        while True:
            gallery.enrol(SPACE, [person(kept + n) for n in range(50)])
            kept += 50
except GalleryError as error:
    print(kept, error)
"""


@posix
def test_a_full_disk_loses_nothing(path: Path) -> None:
    done = script(FULL, path)
    assert done.returncode == 0, done.stderr
    kept, _, message = done.stdout.strip().partition(" ")
    assert message.startswith(f"{path}: the disk")
    assert "\n" not in message
    with open_gallery(str(path)) as gallery:
        assert len(gallery.entries()) == int(kept) > 0
        vector = np.random.default_rng(49).standard_normal(8)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        assert search(gallery, vector)[0].identity == "p49"
        gallery.enrol(SPACE, [person("alice", unit(1)[0])])


UNWRITABLE = """
import pathlib
folder = pathlib.Path(sys.argv[1])
with open_gallery(str(folder / 'old.db'), create=True) as gallery:
    gallery.enrol(SPACE, [person(1)])
(folder / 'old.db').chmod(0o644)
folder.chmod(0o555)
if os.getuid() == 0:
    os.setuid(65534)
for name in ('new.db', 'old.db'):
    try:
        with open_gallery(str(folder / name), create=True) as gallery:
            gallery.enrol(SPACE, [person(2)])
        print('written')
    except GalleryError as error:
        print(error)
"""


@posix
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets nobody else in
        Path(folder).chmod(0o755)
        done = script(UNWRITABLE, folder)
        first, second = done.stdout.splitlines()
        assert first == f"{folder}/new.db: cannot be made: Permission denied"
        assert second.startswith(f"{folder}/old.db: it is read-only")
        assert [p.name for p in Path(folder).iterdir()] == ["old.db"]
