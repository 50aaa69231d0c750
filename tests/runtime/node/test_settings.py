"""The node's configuration: what it takes, and one clear line for all that is wrong in it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from denet.graph import RGB_NIR_TIR, Graph
from runtime.bundle.bundle import Bundle
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import NodeError, read_settings
from runtime.node.boxes.homography import View
from runtime.node.faults import EFFECTS, FaultSettings
from runtime.node.head.thresholds import limits
from runtime.node.health import Limits
from runtime.node.injection import read_faults
from runtime.node.serving import load_serving
from runtime.node.settings import convert
from runtime.runtime import Runtime
from tests.command import denet, refused
from tests.paths import DOCS
from tests.runtime.node.parts import config_file, document, settings, written


def small(extra: str = "", sources: str = '[sources.rgb]\nurl = "folder:x"\nrate = 5\n') -> str:
    return f'name = "a"\n[model]\nbundle = "m"\n{sources}{extra}'


def test_the_example_of_the_documentation_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_settings(DOCS / "node.toml")
    assert list(found.sources) == ["rgb", "nir", "tir"]
    assert found.health == {"tir": Limits(recovery_frames=10)}
    assert found.gallery is not None
    assert found.events.lines is not None
    # What is commented out is an example, too.
    text = (DOCS / "node.toml").read_text()
    start = text.index("# [events.mqtt]")
    mqtt = text[start : text.index("[status]")].replace("# ", "")
    monkeypatch.setenv("CAMERA_PASSWORD", "x")
    assert convert_text(text[:start] + mqtt).events.mqtt is not None


def convert_text(text: str) -> Any:
    return convert(msgspec.toml.decode(text))


def test_modalities_keep_their_order_whatever_that_of_the_file() -> None:
    sources = "".join(f'[sources.{m}]\nurl = "folder:x"\nrate = 5\n' for m in ("tir", "rgb"))
    found = convert_text(small("[health.tir]\n[health.rgb]\n", sources))
    assert list(found.sources) == list(found.health) == ["rgb", "tir"]


def test_a_source_must_be_of_a_modality_that_the_bundle_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = SimpleNamespace(root=tmp_path, graph=Graph(("rgb", "tir")))
    monkeypatch.setattr(Bundle, "open", lambda _root: two)
    with pytest.raises(NodeError, match="has no nir, but rgb, tir: remove the source"):
        load_serving(settings(tmp_path, tmp_path), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x =", ["not TOML"]),
        (small("rat = 5"), ["unknown key 'rat'", "[sources.rgb]"]),
        (small("[boxs]"), ["unknown key 'boxs'", "in the file"]),
        (small(sources='[sources.uv]\nurl = "x"\n'), ["unknown key 'uv'", "[sources]", "rgb, nir"]),
        (small("[health.uv]"), ["unknown key 'uv'", "[health]", "rgb, nir, tir"]),
        (small("[sources.tir]\nurl = 3"), ["sources.tir.url: expected `str`"]),
        (small("[sources]\ntir = 3", ""), ["sources.tir: expected `object`"]),
        (small("[sources.tir]"), ["sources.tir.url: is missing"]),
        (small("[metrics]"), ["metrics.port: is missing"]),
        (small("[batches]\nlargest = 0"), ["batches.largest", ">= 1"]),
        (small("[batches]\ndeadline = 'soon'"), ["batches.deadline", "expected `float`"]),
        (small(sources="[sources]\n"), ["sources: none is given"]),
        (small("[health.tir]"), ["health.tir", "[sources.tir]"]),
        (small("[health.rgb]\nrange16 = [1, 3]"), ["health.rgb.range16", "sources.rgb.range"]),
        (small("range = [3, 1]"), ["sources.rgb", "two rising values"]),
        (small("range = [3, inf]"), ["sources.rgb", "two rising values"]),
        (small('[boxes]\nfile = "a"\ncall = "b"'), ["boxes", "exclude"]),
        (small('[gallery]\nurl = "g"\nfmr = 0.1\nthreshold = 1'), ["gallery.fmr", "keep one"]),
        (small('[gallery]\nurl = "g"\nfmr = 0.0'), ["gallery.fmr", "between 0 and 1"]),
        (small("[tracks]\nfmr = 0.1\nthreshold = 1"), ["tracks.fmr", "keep one"]),
        (small('[gallery]\nurl = "g"\nscores = "s"\nthreshold = 1'), ["gallery.threshold"]),
        (small().replace('"a"', '"a/b"'), ["name: 'a/b'", "letters"]),
        (small('[events.mqtt]\nurl = "${env:NOT_THERE}"'), ["events.mqtt.url", "NOT_THERE"]),
        (small('[events.mqtt]\nurl = "${file:/not/there}"'), ["events.mqtt.url", "/not/there"]),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path / "node.toml", text)
    for command in ("run", "check"):
        refused(denet("node", command, path), "node.toml", *words)


def test_there_is_no_file(tmp_path: Path) -> None:
    refused(denet("node", "run", tmp_path / "x.toml"), "x.toml", "No such file")


def test_secrets_come_from_elsewhere_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "secret")
    written(tmp_path / "word", "hidden\n")
    url = f"rtsp://me:${{env:WORD}}-${{file:{tmp_path}/word}}@camera/live"
    text = small(sources=f'[sources.rgb]\nurl = "{url}"\n')
    found = read_settings(written(tmp_path / "node.toml", text))
    assert found.sources["rgb"].url == "rtsp://me:secret-hidden@camera/live"
    assert "secret" not in repr(found)
    assert "hidden" not in repr(found)


# Everything is tried before a start


def test_a_good_node_passes(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    config = config_file(tmp_path, bundle_path, data / "test", lines=tmp_path / "e.jsonl")
    done = denet("node", "check", config)
    assert done.exit_code == 0, done.output
    passed = ["sources.rgb", "sources.nir", "sources.tir", "boxes", "model", "trial", "events"]
    assert [line.split(": ")[1] for line in done.stdout.splitlines()] == passed


def test_a_range_that_is_not_the_sensors(bundle_path: Path, tmp_path: Path) -> None:
    """14 bits, as a thermal camera gives them, for a bundle of 16."""
    (tmp_path / "TI").mkdir()
    across = np.linspace(7000, 9000, 32)
    values = np.rint(across + np.random.default_rng(0).normal(0, 30, (64, 32))).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "TI" / "1.png")
    model = f'name = "a"\n[model]\nbundle = "{bundle_path}"\nbackend = "ort-cpu"\n'
    source = f'[sources.tir]\nurl = "folder:{tmp_path}"\nrate = 50\n'
    config = written(tmp_path / "node.toml", model + source)
    refused(denet("node", "check", config), "sources.tir: values from", "range 0 to 65535")
    written(config, f"{model}{source}range = [7000, 9000]\n")
    assert denet("node", "check", config).exit_code == 0


def test_a_recording_without_a_picture(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "TI").mkdir()
    Image.fromarray(np.full((64, 32), 300.5, np.float32)).save(tmp_path / "TI" / "1.tif")
    source = f'[sources.tir]\nurl = "folder:{tmp_path}"\nrate = 50\n'
    model = f'name = "a"\n[model]\nbundle = "{bundle_path}"\nbackend = "ort-cpu"\n'
    config = written(tmp_path / "node.toml", model + source)
    refused(denet("node", "check", config), "1.tif: 32-bit fractions", "say which are black")


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    views = written(tmp_path / "views.toml", "[tir]\nsize = [4, 4]\n")
    more = f"""
[boxes]
call = "not_there:f"
calibration = "{views}"
[gallery]
url = "file:{tmp_path}/g.db"
[metrics]
port = 1
host = "192.0.2.1"
[status]
port = 1
host = "192.0.2.1"
"""
    missing = tmp_path / "nowhere"
    done = denet(
        "node", "check", config_file(tmp_path, missing, missing, missing / "e.jsonl", more)
    )
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    starts = ["sources.rgb", "sources.nir", "sources.tir", "boxes.calibration", "boxes.call"]
    starts += ["gallery", "model", "events", "metrics", "status page"]
    assert [line.split(": ")[1] for line in lines] == starts
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://me:secret@camera/x", ["no kind of source 'ftp'"]),
        ("folder:/not/there", ["/not/there", "no such folder"]),
        ("rtsp://me:secret@127.0.0.1:1/live", ["rtsp://***@127.0.0.1:1/live", "refused"]),
    ],
)
def test_a_wrong_source(bundle_path: Path, tmp_path: Path, url: str, words: list[str]) -> None:
    pytest.importorskip("av")
    rate = "rate = 5" if url.startswith("folder") else ""
    text = small(sources=f'[sources.rgb]\nurl = "{url}"\n{rate}\n').replace(
        '"m"', f'"{bundle_path}"'
    )
    done = denet("node", "check", written(tmp_path / "node.toml", text))
    refused(done, "sources.rgb", *words)
    assert "secret" not in done.output


def test_an_unwritable_folder(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path, bundle_path, data / "test", lines=Path("/proc/e.jsonl"))
    for command in ("check", "run"):
        refused(denet("node", command, config), "/proc", "cannot be written")


def test_a_full_disk(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    config = config_file(tmp_path, bundle_path, data / "test", lines=tmp_path / "e.jsonl")
    for command in ("check", "run"):
        refused(denet("node", command, config), str(tmp_path), "No space left on device")
    assert sorted(tmp_path.iterdir()) == [config]


def test_a_gallery_of_another_model(
    bundle_path: Path, data: Path, runtime: Runtime, tmp_path: Path
) -> None:
    foreign = Space(runtime.dim, "0" * 64, "")
    with open_gallery(str(tmp_path / "g.db"), create=True) as gallery:
        one = runtime.embed({"rgb": next((data / "test" / "RGB").iterdir())})
        gallery.enrol(foreign, [Enrolment("alice", RGB_NIR_TIR.complete, one)])
    more = f'[gallery]\nurl = "file:{tmp_path}/g.db"\n'
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "e.jsonl", more)
    for command in ("check", "run"):
        refused(denet("node", command, config), "g.db", "cannot be compared: another model")


@pytest.mark.parametrize(
    ("url", "more", "words"),
    [
        ("http://broker", "", "write mqtt://HOST:PORT"),
        ("mqtt://me:secret@broker", "", "mqtt://***@broker: has a user in it"),
        ("mqtt://broker", 'user = "a"\npassword_env = "NOT_SET"', "NOT_SET is not set"),
        ("mqtt://broker", "topics = 3", "unknown key 'topics' in [events.mqtt]"),
    ],
)
def test_a_wrong_broker(
    bundle_path: Path, data: Path, tmp_path: Path, url: str, more: str, words: str
) -> None:
    pytest.importorskip("paho.mqtt")
    mqtt = f'[events.mqtt]\nurl = "{url}"\noutbox = "{tmp_path}/outbox.db"\n{more}\n'
    config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "e.jsonl", mqtt)
    for command in ("check", "run"):
        done = denet("node", command, config)
        refused(done, words)
        assert "secret" not in done.output


def test_a_bad_password(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("paho.mqtt")
    from tests.runtime.node.broker import MOSQUITTO, Broker

    tool = shutil.which("mosquitto_passwd")
    if MOSQUITTO is None or tool is None:
        pytest.skip("needs mosquitto: apt-get install mosquitto")
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-b", "-c", str(passwords), "gate", "right"], check=True)
    monkeypatch.setenv("MQTT_PASSWORD", "wrong-secret")
    with Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        mqtt = f"""[events.mqtt]
url = "mqtt://127.0.0.1:{broker.port}"
outbox = "{tmp_path}/outbox.db"
user = "gate"
password_env = "MQTT_PASSWORD"
"""
        config = config_file(tmp_path, bundle_path, data / "test", tmp_path / "e.jsonl", mqtt)
        for command in ("check", "run"):
            done = denet("node", command, config)
            refused(done, f"mqtt://127.0.0.1:{broker.port}")
            assert "wrong-secret" not in done.output


# Thresholds that are known from elsewhere


def test_size_and_range_come_from_calibration_and_bundle(bundle_path: Path, data: Path) -> None:
    manifest = Bundle.open(bundle_path).manifest
    views = {"rgb": View(size=(64, 48)), "tir": View(size=(32, 24))}
    given = settings(bundle_path, data, health={"nir": {"size": [10, 20]}})
    sources = given.sources | {"nir": replace(given.sources["nir"], range=(1, 2.5))}
    found = limits(replace(given, sources=sources), views, manifest)
    assert found["rgb"].size == (64, 48)
    assert found["tir"].size == (32, 24)
    assert found["nir"] == Limits(size=(10, 20), range16=(1, 2.5))
    assert found["tir"].range16 == manifest.preprocessing.modalities["tir"].range16


# Faults on purpose


def test_faults_are_asked_for_in_words_or_in_a_file(tmp_path: Path) -> None:
    assert read_faults("") == FaultSettings()
    wanted = FaultSettings(seed=3, every=20.5, kinds=("black", "frozen, coded anew"))
    assert read_faults("every=20.5; seed=3;kinds=black|frozen, coded anew") == wanted
    file = written(
        tmp_path / "f.toml", 'every = 20.5\nseed = 3\nkinds = ["black", "frozen, coded anew"]'
    )
    assert read_faults(str(file)) == wanted


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("often", ["'often' is no KEY=VALUE"]),
        ("evry=3", ["evry"]),
        ("every=often", ["every"]),
        ("kinds=blue", ["'blue'", next(iter(EFFECTS))]),
        ("shortest=9;longest=3", ["swap"]),
        ("not-there.toml", ["not-there.toml", "No such file"]),
    ],
)
def test_faults_that_there_are_not(tmp_path: Path, setting: str, words: list[str]) -> None:
    with pytest.raises(NodeError) as caught:
        read_faults(setting)
    for word in words:
        assert word in str(caught.value)
    config = written(tmp_path / "node.toml", small())
    refused(denet("node", "run", config, "--inject", setting), *words)


def test_a_document_is_not_changed() -> None:
    given = document(Path("b"), Path("r"))
    convert(given)
    assert given == document(Path("b"), Path("r"))
