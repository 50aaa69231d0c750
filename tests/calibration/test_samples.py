"""Which samples calibrate and which judge, and which cannot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from calibration import CalibrationRequest, calibrate
from calibration.samples import LEAST, choose_samples
from denet.data.records import open_data
from denet.data.synthetic import SyntheticConfig, write_synthetic
from denet.graph import RGB_NIR_TIR, Modality, State
from runtime import Bundle
from tests.calibration.parts import STATES, chosen, run_refused
from tests.conftest import copied


def test_samples_without_labels(data: Path, bundle_path: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    request = CalibrationRequest(data=data / "train", table=table, platforms=("avx2",), budget=0.5)
    made = calibrate(root, request)
    assert not made.samples.labelled
    assert made.whole["int8-avx2"][STATES[0]].map is None
    assert made.budget == 0.5
    assert made.bundle.manifest.mixed["avx2"].states["rgb"].map is None


def test_another_set_can_judge(data: Path, bundle_path: Path, table: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    request = CalibrationRequest(
        data=data, judge=data, table=table, platforms=("avx2",), budget=100.0
    )
    made = calibrate(root, request)
    tested = {record.name for record in open_data(data).query}
    assert {record.name for record in made.samples.judged.records} == tested


def test_what_calibrates_and_what_judges_are_strangers(data: Path, bundle: Bundle) -> None:
    found = choose_samples(bundle.manifest, data, None, 1000, 0)
    fitted = {r.identity for r in found.calibration.records}
    judged = {r.identity for r in found.judged.records}
    assert not fitted & judged
    assert (len(fitted), len(judged)) == (8, 4)
    train = {r.identity for r in open_data(data).train}
    assert fitted | judged == train, "never the test split"


def test_too_few_samples(untouched: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_synthetic(few, SyntheticConfig(identities=4, cameras=2, shots=2, height=64, width=32))
    run_refused(untouched, few, "8 samples", f"at least {LEAST}")


def test_data_without_a_training_split(untouched: Path, data: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(data, tmp_path / "test-only", copy_function=os.link))
    shutil.rmtree(root / "train")
    run_refused(untouched, root, "no training split")
    run_refused(untouched, tmp_path / "none", "none", "no such folder")


def test_black_images(untouched: Path, data: Path, tmp_path: Path) -> None:
    from PIL import Image

    root = Path(shutil.copytree(data, tmp_path / "black", copy_function=os.link))
    for path in (root / "train" / "TI").iterdir():
        path.unlink()
        Image.new("RGB", (32, 64)).save(path)
    run_refused(untouched, root, "TI", "single colour")


def test_a_damaged_image(untouched: Path, data: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(data, tmp_path / "damaged", copy_function=os.link))
    for path in (root / "train" / "RGB").iterdir():
        path.unlink()
        path.write_bytes(b"no image")
    run_refused(untouched, root, "RGB", "not an image")


def modalities_of(states: tuple[State, ...]) -> set[Modality]:
    return {m for state in states for m in state.available}


def test_states_of_the_samples(data: Path, bundle: Bundle) -> None:
    assert modalities_of(chosen(data, bundle).states) == set(RGB_NIR_TIR.modalities)
    assert chosen(data, bundle).states == STATES
