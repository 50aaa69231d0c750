"""The commands that are killed: what is there before, and what must be there after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.kills import Victim
from tests.fuzz.stock import STOCK, put
from tests.paths import SAMPLES


def bundle_is_whole(*paths: str) -> Callable[[Path], None]:
    """Bundles are there, with every byte of what they list, and make what they should."""

    def check(folder: Path) -> None:
        from runtime import Bundle, Runtime

        for path in paths:
            bundle = Bundle.open(folder / path)
            bundle.verify()
            with Runtime.load(bundle, "ort-cpu", precision="fp32") as runtime:
                runtime.check()

    return check


def run_is_whole(folder: Path) -> None:
    """What a run has written can be read."""
    from denet.checkpoint import load_checkpoint

    best = folder / "run" / "best.safetensors"
    if best.exists():
        load_checkpoint(best)


def engines_are_whole(folder: Path) -> None:
    """The bundle is whole, and so is each built engine that says that it is finished."""
    from runtime.backends.tensorrt.files import AbsentError, open_engine

    bundle_is_whole("model.denet")(folder)
    for path in (folder / "model.denet").rglob("*.engine"):
        with suppress(AbsentError):
            open_engine(path).read()


def gallery_has(least: int) -> Callable[[Path], None]:
    """A gallery can be opened, and has at least so many entries."""

    def check(folder: Path) -> None:
        from runtime.gallery import open_gallery

        with open_gallery(str(folder / "people.db")) as gallery:
            found = gallery.entries()
        assert len(found) >= least, f"{len(found)} entries instead of {least}"

    return check


def node_is_whole(folder: Path) -> None:
    """The gallery is whole, and each line of events but a torn last one is an event."""
    gallery_has(6)(folder)
    lines = folder / "events.jsonl"
    if lines.exists():
        whole, _, _torn = lines.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            json.loads(line)


NODE = """
name = "gate"
[model]
bundle = "model.denet"
{sources}
[gallery]
url = "file:people.db"
threshold = 0.5
[events.lines]
path = "events.jsonl"
[events.mqtt]
url = "mqtt://127.0.0.1:1"
outbox = "outbox.db"
"""


def victims(base: Path) -> Sequence[Victim]:
    """All of them, of the stock in a folder."""
    stock = base / STOCK
    data, tiny, new = (str(stock / name) for name in ("data", "tiny.toml", "new.safetensors"))

    def with_bundle(folder: Path) -> None:
        put(base, folder, {"model.denet": "old.denet"})

    def with_two(folder: Path) -> None:
        put(base, folder, {"model.denet": "new.denet", "out.denet": "old.denet"})

    def with_gallery(folder: Path) -> None:
        put(base, folder, {"model.denet": "old.denet", "people.db": "people.db"})

    def with_node(folder: Path) -> None:
        with_gallery(folder)
        shutil.copytree(SAMPLES, folder / "images")
        sources = "\n".join(
            f'[sources.{m}]\nurl = "folder:images"\nrate = 25' for m in ("rgb", "nir", "tir")
        )
        (folder / "node.toml").write_text(NODE.format(sources=sources))

    train = ("train", data, "--out", "run", "--config", tiny, "--resume")
    export = ("export", new, "--out", "out.denet", "--force")
    calibrate = ("calibrate", "model.denet", data, "--precision", "fp16", "--samples", "8")
    slim = ("slim", "model.denet", "--out", "out.denet", "--precision", "fp32", "--force")
    project = ("project", "model.denet", data, "--dim", "8", "--budget", "100")
    build = ("build", "model.denet", "--precision", "fp32")
    enrol = ("gallery", "enrol", "people.db", str(SAMPLES), "--bundle", "model.denet")
    node = ("node", "run", "node.toml", "--for", "5")
    return (
        Victim("train", lambda _: None, train, train, run_is_whole),
        Victim(
            "export",
            lambda folder: put(base, folder, {"out.denet": "old.denet"}),
            export,
            export,
            bundle_is_whole("out.denet"),
        ),
        Victim("calibrate", with_bundle, calibrate, calibrate, bundle_is_whole("model.denet")),
        Victim("slim", with_two, slim, slim, bundle_is_whole("model.denet", "out.denet")),
        Victim("project", with_bundle, project, project, bundle_is_whole("model.denet"), (0, 2)),
        Victim("build", with_bundle, build, build, engines_are_whole),
        Victim("enrol", with_gallery, enrol, enrol, gallery_has(6)),
        Victim("node", with_node, node, node, node_is_whole),
    )


VICTIMS = ("train", "export", "calibrate", "slim", "project", "build", "enrol", "node")
"""Their names."""

NEEDS = {"build": "tensorrt"}
"""The package without which a command cannot be killed, since it does nothing."""


def can_be_killed(name: str) -> bool:
    """Whether a command can run here."""
    return name not in NEEDS or find_spec(NEEDS[name]) is not None
