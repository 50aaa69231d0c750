"""The command line: what it writes, what it says, and that bad input is one clear line."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from denet.checkpoint import load_checkpoint, save_checkpoint
from denet.graph import RGB_NIR_TIR
from denet.model import DENet
from runtime import Bundle, Runtime
from tests.command import denet, refused
from tests.paths import ROOT, SAMPLES
from tests.runtime.bundle.damage import edit_manifest, set_path

STATES = RGB_NIR_TIR.states
MODALITIES = RGB_NIR_TIR.modalities
plan = RGB_NIR_TIR.plan


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copy_of(bundle_path: Path, to: Path) -> Path:
    return shutil.copytree(bundle_path, to / "copy.denet")


def with_manifest(path: Path, old: str, new: str) -> Path:
    manifest = path / "manifest.json"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new, 1))
    return path


def test_help_has_a_line_for_each_command() -> None:
    result = denet("--help")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    commands = {
        command.name or command.callback.__name__ for command in cli.app.registered_commands
    }  # type: ignore[union-attr]
    commands |= {group.name for group in cli.app.registered_groups}
    first = next(i for i, line in enumerate(lines) if "Commands" in line)
    listed = re.findall(r"^\W*(\w\S*)", "\n".join(lines[first + 1 :]), re.MULTILINE)
    assert sorted(listed) == sorted(commands)


def test_every_command_of_help_is_shown_at_work() -> None:
    lines = denet("--help").output.partition("Commands")[2].splitlines()
    listed = [line.strip("│ ").split()[0] for line in lines if re.match("│ [a-z]", line)]
    assert listed == list(cli.COMMANDS)
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    used = {name for page in pages for name in re.findall(r"^denet (\w+)", page, re.MULTILINE)}
    assert {*listed} <= used


HELP = """
import sys
import cli
try:
    cli.app(sys.argv[1:])
except SystemExit:
    pass
print({"numpy", "onnx", "torch", "PIL", "matplotlib"} & set(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [(), ("export",), ("calibrate",), ("gallery", "enrol")])
def test_help_loads_nothing_that_it_does_not_need(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage" in done.stdout
    assert done.stderr.strip() == "set()"


def test_init_and_export_make_a_bundle_that_verifies(in_folder: Path) -> None:
    Path("small.toml").write_text(
        '[model]\nbackbone = "timm:test_resnet"\nimage_size = [64, 32]\ncmft_width = 8\n'
    )
    assert denet("init", "m.safetensors", "--config", "small.toml").exit_code == 0
    model = load_checkpoint(Path("m.safetensors"))
    assert model.neck.running_mean is not None
    torch.nn.init.normal_(model.neck.running_mean)  # what another neck would make a difference of
    save_checkpoint(model, Path("m.safetensors"), replace=True)
    exported = denet("export", "m.safetensors", "--out", "m.denet", "--neck", "centred")
    assert exported.exit_code == 0, exported.output
    assert "15 engines" in exported.output
    assert Bundle.open(Path("m.denet")).manifest.model["neck"] == "centred"
    verified = denet("verify", "m.denet", "--against", "m.safetensors", "--json")
    assert verified.exit_code == 0, verified.output
    facts = json.loads(verified.stdout)
    assert list(facts["canary"]) == [state.name for state in STATES]
    assert facts["against"]["min_cosine"] >= 0.99999
    assert {path.name for path in in_folder.iterdir()} == {"small.toml", "m.safetensors", "m.denet"}


def test_inspect_shows_each_state_and_its_engines(bundle_path: Path) -> None:
    result = denet("inspect", bundle_path)
    assert result.exit_code == 0
    for state in STATES:
        assert f"\n{state.name}\n" in result.output
    assert "nir ▶ branch_nir ▶ cmft_nir2rgb ▶ +dem_nir2rgb ▶ +dem_tir2rgb" in result.output


def test_inspect_prints_the_plans_as_json(bundle_path: Path) -> None:
    facts = json.loads(denet("inspect", bundle_path, "--json", "--state", "tir+rgb").stdout)
    assert facts["states"] == {
        "rgb+tir": {
            "anchor": "rgb",
            "missing": ["nir"],
            "engines": list(plan(STATES[2]).engines),
            "parts": list(plan(STATES[2]).parts),
        }
    }


def test_embed_writes_what_the_runtime_gives(
    bundle_path: Path, runtime: Runtime, tmp_path: Path
) -> None:
    out = tmp_path / "e.npz"
    result = denet("embed", bundle_path, SAMPLES, "--out", out)
    assert result.exit_code == 0, result.output
    stored = np.load(out)
    assert list(stored["names"]) == [f"{n:06}_cam1_0_00" for n in range(1, 7)]
    assert set(stored["states"]) == {"rgb+nir+tir"}
    folders = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
    first = {m: SAMPLES / folders[m] / "000001_cam1_0_00.jpg" for m in MODALITIES}
    np.testing.assert_allclose(stored["embeddings"][0], runtime.embed(first), atol=1e-5)
    assert stored["checkpoint"] == runtime.bundle.manifest.checkpoint_sha256


def test_embed_in_every_state_makes_a_row_of_each(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.npz"
    result = denet("embed", bundle_path, SAMPLES, "--every-state", "--out", out, "--json")
    rows = json.loads(result.stdout)["states"]
    assert [row["state"] for row in rows] == [state.name for state in STATES]
    assert [row["engines"] for row in rows] == [len(plan(state).calls) for state in STATES]
    assert all(row["samples"] == 6 and row["ms_per_sample"] > 0 for row in rows)
    assert len(np.load(out)["embeddings"]) == 6 * 7


def test_a_missing_folder_or_file_is_a_missing_modality(bundle_path: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "RGB", tmp_path / "in" / "rgb")
    shutil.copytree(SAMPLES / "TI", tmp_path / "in" / "TIR")
    (tmp_path / "in" / "TIR" / "000002_cam1_0_00.jpg").unlink()
    out = tmp_path / "e.npz"
    result = denet("embed", bundle_path, tmp_path / "in", "--out", out)
    assert "no sample has an image of nir" in result.output
    assert list(np.load(out)["states"]) == ["rgb+tir", "rgb", *["rgb+tir"] * 4]


def test_single_files_and_a_named_state(bundle_path: Path, tmp_path: Path) -> None:
    thermal = SAMPLES / "TI" / "000003_cam1_0_00.jpg"
    visible = SAMPLES / "RGB" / "000003_cam1_0_00.jpg"
    alone, limited = tmp_path / "alone.npz", tmp_path / "limited.npz"
    assert denet("embed", bundle_path, "--tir", thermal, "--out", alone).exit_code == 0
    both = ("embed", bundle_path, "--rgb", visible, "--tir", thermal)
    assert denet(*both, "--state", "tir", "--out", limited).exit_code == 0
    np.testing.assert_array_equal(np.load(alone)["embeddings"], np.load(limited)["embeddings"])


@pytest.mark.parametrize("name", ["none.safetensors", "text.safetensors"])
def test_export_of_no_checkpoint(in_folder: Path, name: str) -> None:
    Path("text.safetensors").write_text("not a checkpoint")
    refused(denet("export", name, "--out", "m.denet"), name)
    assert not Path("m.denet").exists()


def test_export_with_a_neck_that_there_is_not(checkpoint: Path, in_folder: Path) -> None:
    answer = denet("export", checkpoint, "--out", "m.denet", "--neck", "behind")
    refused(answer, "--neck behind", "before, after, centred")
    assert not Path("m.denet").exists()


def test_init_does_not_overwrite(in_folder: Path) -> None:
    Path("m.safetensors").write_text("precious")
    refused(denet("init", "m.safetensors", "--backbone", "resnet18"), "m.safetensors", "--force")
    assert Path("m.safetensors").read_text() == "precious"


@pytest.mark.parametrize("name", ["resnet10", "timm:regnetx_002", "timm:mobilenetv3_small_100"])
def test_init_with_another_backbone(in_folder: Path, name: str) -> None:
    Path("tiny.toml").write_text("[model]\nimage_size = [64, 32]\ncmft_width = 4\n")
    made = denet("init", "m.safetensors", "--config", "tiny.toml", "--backbone", name)
    assert made.exit_code == 0, made.output
    assert load_checkpoint(Path("m.safetensors")).config.backbone == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:regnetx_999", ("regnetx_999", "timm:regnetx_")),
        ("timm:swin_tiny_patch4_window7_224", ("swin_tiny", "no map of channels")),
        ("timm:fastvit_t8", ("fastvit_t8", "last_stride = 2")),
    ],
)
def test_init_with_a_backbone_that_does_not_fit(
    in_folder: Path, name: str, words: tuple[str, ...]
) -> None:
    Path("tiny.toml").write_text("[model]\nimage_size = [64, 64]\ncmft_width = 4\n")
    refused(denet("init", "m.safetensors", "--config", "tiny.toml", "--backbone", name), *words)
    refused(denet("init", "m.safetensors", "--backbone", "resnet10", "--pretrained"), "resnet10")
    assert not Path("m.safetensors").exists()


def test_export_of_another_composition(in_folder: Path) -> None:
    Path("tiny.toml").write_text(
        '[model]\nbackbone = "resnet10"\nimage_size = [32, 16]\ncmft_width = 4\n'
        'composition = "concat"\n'
    )
    assert denet("init", "m.safetensors", "--config", "tiny.toml").exit_code == 0
    refused(denet("export", "m.safetensors", "--out", "m.denet"), "m.denet", "concat", "dynamic")
    assert not Path("m.denet").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[model]\nbackbon = 'resnet18'\n", "backbon"),
        ("[model]\nbackbone = 'alexnet'\n", "alexnet"),
        ("[model\n", "bad.toml"),
        ("[model]\nimage_size = [250, 128]\n", "250x128"),
        ("[modle]\n", "modle"),
    ],
)
def test_a_wrong_configuration(in_folder: Path, text: str, word: str) -> None:
    Path("bad.toml").write_text(text)
    refused(denet("init", "m.safetensors", "--config", "bad.toml"), word)
    assert not Path("m.safetensors").exists()


def test_a_full_disk_while_exporting(
    in_folder: Path,
    checkpoint: Path,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from export import bundle as writer

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
    monkeypatch.setattr(os, "fsync", full)
    refused(denet("export", checkpoint, "--out", "m.denet"), "m.denet", "No space left")
    assert list(in_folder.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "verify", "embed"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no bundle", ("none.denet",)),
        ("missing engine", ("dem_tir2nir.onnx", "missing")),
        ("escape", ("../", "leaves the bundle")),
        ("future", ("schema 9",)),
        ("foreign", ("manifest.json",)),
    ],
)
def test_a_bundle_that_cannot_be_used(
    command: str, damage: str, words: tuple[str, ...], bundle_path: Path, in_folder: Path
) -> None:
    path = Path("none.denet")
    if damage != "no bundle":
        path = copy_of(bundle_path, in_folder)
    if damage == "missing engine":
        (path / "onnx/fp32/dem_tir2nir.onnx").unlink()
    elif damage == "escape":
        edit_manifest(path, set_path("../fp32/branch_rgb.onnx"))
    elif damage == "future":
        with_manifest(path, '"schema": 2', '"schema": 9')
    elif damage == "foreign":
        with_manifest(path, "denet-bundle", "other-bundle")
    more = (SAMPLES, "--out", "e.npz") if command == "embed" else ()
    refused(denet(command, path, *more), *words)
    assert not Path("e.npz").exists()


@pytest.mark.parametrize("command", ["verify", "embed"])
def test_a_bundle_with_one_byte_changed(command: str, bundle_path: Path, in_folder: Path) -> None:
    path = copy_of(bundle_path, in_folder)
    engine = path / "onnx/fp32/branch_nir.onnx"
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)
    more = (SAMPLES, "--out", "e.npz") if command == "embed" else ()
    refused(denet(command, path, *more), "branch_nir.onnx", "damaged")
    assert not Path("e.npz").exists()


def test_a_wrong_checkpoint_to_verify_against(
    bundle_path: Path, model: DENet, in_folder: Path
) -> None:
    from denet.checkpoint import save_checkpoint
    from denet.initialize import initial_model

    save_checkpoint(initial_model(model.config, seed=1, pretrained=False), Path("o.safetensors"))
    refused(denet("verify", bundle_path, "--against", "o.safetensors"), "was not exported from")


def image_folder(root: Path, kind: str) -> Path:
    """A folder of images that cannot be embedded."""
    (root / "RGB").mkdir(parents=True)
    good = Image.new("RGB", (32, 64), (90, 120, 30))
    if kind == "unreadable":
        (root / "RGB" / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    elif kind == "truncated":
        good.save(root / "RGB" / "bad.png")
        whole = (root / "RGB" / "bad.png").read_bytes()
        (root / "RGB" / "bad.png").write_bytes(whole[: len(whole) // 2])
    elif kind == "no pixels":
        header = b"P6\n0 0\n255\n"
        (root / "RGB" / "bad.ppm").write_bytes(header)
    elif kind == "unknown folder":
        (root / "depth").mkdir()
        good.save(root / "depth" / "bad.png")
    elif kind == "no folder":
        good.save(root / "bad.png")
    elif kind == "twice":
        good.save(root / "RGB" / "bad.png")
        good.save(root / "RGB" / "bad.jpg")
    return root


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("unreadable", "bad.jpg"),
        ("truncated", "bad.png"),
        ("no pixels", "bad.ppm"),
        ("unknown folder", "no known modality folder"),
        ("no folder", "no known modality folder"),
        ("twice", "same sample"),
        ("empty", "holds no images"),
    ],
)
def test_images_that_cannot_be_used(
    kind: str, word: str, bundle_path: Path, in_folder: Path
) -> None:
    folder = image_folder(in_folder / "in", kind)
    refused(denet("embed", bundle_path, folder, "--out", "e.npz"), word)
    assert {path.name for path in in_folder.iterdir()} == {"in"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((SAMPLES, "--state", "rgb+uv"), "rgb+uv"),
        ((SAMPLES, "--backend", "gpu"), "gpu"),
        ((SAMPLES, "--precision", "int8"), "int8"),
        ((SAMPLES, "--rgb", "x.jpg"), "either a folder"),
        ((), "either a folder"),
        ((SAMPLES, "--state", "rgb", "--every-state"), "--every-state"),
        (("--rgb", "none.jpg"), "none.jpg"),
        (("nowhere",), "nowhere"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: tuple[object, ...], word: str, bundle_path: Path, in_folder: Path
) -> None:
    refused(denet("embed", bundle_path, *arguments, "--out", "e.npz"), word)
    assert list(in_folder.iterdir()) == []


@pytest.mark.parametrize("out", ["e.txt", "no/such/e.npz"])
def test_an_output_that_cannot_be_written(bundle_path: Path, in_folder: Path, out: str) -> None:
    refused(denet("embed", bundle_path, SAMPLES, "--out", out), out)
    assert list(in_folder.iterdir()) == []


def test_an_unknown_state_to_inspect(bundle_path: Path) -> None:
    refused(denet("inspect", bundle_path, "--state", "uv"), "'uv'", "rgb+tir")
