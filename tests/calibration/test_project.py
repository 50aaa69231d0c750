"""Projections through everything that is done with a bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

import calibration.project
from calibration import CalibrationError, CalibrationRequest, calibrate
from calibration.embed import Embeddings, embed_states
from calibration.project import ProjectionRequest, project
from calibration.projection import POWERS
from calibration.samples import choose_samples
from denet.data.records import Record, open_data
from denet.errors import DenetError
from denet.evaluate import Split
from denet.graph import RGB_NIR_TIR
from runtime import Bundle, BundleError, Runtime
from runtime.bundle.manifest import MANIFEST, Calibration
from runtime.bundle.slim import slim
from runtime.bundle.writing import npz, store, store_manifest
from runtime.gallery import Space
from runtime.head import Head, projected
from tests.command import denet, refused
from tests.conftest import copied
from tests.paths import SAMPLES
from tests.runtime.bundle.damage import edit_manifest

COMPLETE, STATES = RGB_NIR_TIR.complete, RGB_NIR_TIR.states

DIM = 24
WIDE = 576


def request(data: Path, **changes: Any) -> ProjectionRequest:
    given: dict[str, Any] = {"data": data, "dim": DIM, "budget": 100.0, "batch": 4} | changes
    return ProjectionRequest(**given)


@pytest.fixture(scope="module")
def remembered() -> Iterator[None]:
    """Embeds the samples of a projection once for all tests: they all project the same bundle."""
    known: dict[tuple[str, ...], Embeddings] = {}

    def embed(runtime: Runtime, records: Sequence[Record], *rest: Any) -> Embeddings:
        names = tuple(record.name for record in records)
        if names not in known:
            known[names] = embed_states(runtime, records, *rest)
        return known[names]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration.project, "embed_states", embed)
        yield


@pytest.fixture(scope="module")
def projected_path(
    bundle_path: Path, data: Path, remembered: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = copied(bundle_path, tmp_path_factory.mktemp("projected"))
    project(root, request(data))
    return root


@pytest.fixture
def copy(projected_path: Path, tmp_path: Path) -> Path:
    return copied(projected_path, tmp_path)


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_embeddings_are_the_long_ones_projected(
    projected_path: Path, runtime: Runtime, bundle: Bundle
) -> None:
    folders = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
    samples = [
        {m: SAMPLES / folders[m] / f"{n:06}_cam1_0_00.jpg" for m in state.available}
        for n in (1, 2)
        for state in STATES
    ]
    long = runtime.embed_batch(samples).astype(np.float64)
    with np.load(projected_path / "head.npz") as head:
        mean, matrix = head["mean"], head["matrix"]
    expected = (long - mean) @ matrix
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    with Runtime.load(projected_path, "ort-cpu", check=True) as loaded:
        assert loaded.dim == DIM
        np.testing.assert_allclose(loaded.embed_batch(samples), expected, atol=1e-4)
        np.testing.assert_allclose(loaded.embed(samples[0]), expected[0], atol=1e-4)
    assert matrix.shape == (WIDE, DIM)
    assert bundle.manifest.head.dim == WIDE  # the one that it was copied from


def test_the_manifest_says_where_the_projection_comes_from(
    projected_path: Path, bundle: Bundle, data: Path
) -> None:
    manifest = Bundle.open(projected_path).manifest
    projection = manifest.head.projection
    assert projection is not None
    assert projection.data == str(data)
    assert (projection.samples, projection.judged, projection.seed) == (48, 24, 0)
    assert projection.power in POWERS
    assert list(projection.map) == [state.name for state in STATES]
    assert all(0 <= value <= 100 for pair in projection.map.values() for value in pair)
    assert manifest.head.affine is not None
    assert manifest.projection_digest == manifest.head.affine.sha256
    assert bundle.manifest.projection_digest == ""
    listed = {file.path for file in manifest.files()} | {MANIFEST}
    assert set(files(projected_path)) == listed
    spaces = {Space.of(manifest), Space.of(bundle.manifest)}
    assert {space.checkpoint for space in spaces} == {manifest.checkpoint_sha256}
    assert {space.dim for space in spaces} == {DIM, WIDE}


def test_the_measured_accuracy_is_that_of_the_bundle(projected_path: Path, data: Path) -> None:
    manifest = Bundle.open(projected_path).manifest
    samples = choose_samples(manifest, data, None, 512, 0)
    split = Split(samples.judged.records, samples.judged.records)
    with Runtime.load(projected_path, "ort-cpu") as runtime:
        made = embed_states(runtime, split.query)
    assert manifest.head.projection is not None
    for state, embeddings in made.items():
        after = manifest.head.projection.map[state.name][1]
        assert split.rank(embeddings, embeddings).map == pytest.approx(after, abs=0.5)
    trained = {r.identity for r in open_data(data).train}
    fitted = {r.identity for r in samples.calibration.records}
    assert {r.identity for r in split.query} | fitted <= trained  # nobody of the test split


def test_the_same_request_gives_the_same_bytes(
    bundle_path: Path,
    projected_path: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration.project, "embed_states", embed_states)
    root = copied(bundle_path, tmp_path)
    project(root, request(data))
    assert files(root) == files(projected_path)


def test_a_projected_bundle_verifies_and_is_compared_with_its_checkpoint(
    projected_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The engines are as they were; the states are compared.
    monkeypatch.setattr("export.parity._compare_engines", lambda *_: iter(()))
    done = denet("verify", projected_path, "--against", checkpoint, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert min(facts["canary"].values()) > 0.9999
    assert facts["against"]["min_cosine"] >= 0.99999


def test_a_projected_bundle_is_evaluated_and_embeds(
    projected_path: Path, data: Path, tmp_path: Path
) -> None:
    done = denet("eval", projected_path, data, "--json")
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["states"]) == [state.name for state in STATES]
    out = tmp_path / "e.npz"
    assert denet("embed", projected_path, SAMPLES, "--out", out).exit_code == 0
    with np.load(out) as stored:
        assert stored["embeddings"].shape == (6, DIM)
        assert stored["projection"] == Bundle.open(projected_path).manifest.projection_digest


def test_a_projected_bundle_can_be_slimmed(projected_path: Path, tmp_path: Path) -> None:
    node = slim(Bundle.open(projected_path), tmp_path / "node.denet", "fp32")
    with Runtime.load(node, "ort-cpu", check=True) as runtime:
        assert runtime.dim == DIM
    assert Space.of(node.manifest) == Space.of(Bundle.open(projected_path).manifest)


@pytest.mark.usefixtures("remembered")
def test_what_a_calibration_left_is_kept(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    """As `denet slim --precision fp32` leaves a calibrated bundle: with its table of ranges."""
    root = copied(bundle_path, tmp_path)
    manifest = Bundle.open(root).manifest
    (root / MANIFEST).unlink()
    ranges = Calibration(
        table=store(root, "calibration.json", b"{}"),
        data="x", samples=16, seed=0, method="minmax", judged=16,
    )  # fmt: skip
    scores = store(root, "scores.json", b"of embeddings that are not projected")
    store_manifest(root, msgspec.structs.replace(manifest, calibration=ranges, scores=scores))
    built = root / "trt" / "here" / "fp32"
    built.mkdir(parents=True)
    (built / "branch_rgb.engine").write_bytes(b"engine")
    made = project(root, request(data))
    assert made.bundle.manifest.calibration == ranges
    assert made.bundle.manifest.scores is msgspec.UNSET
    assert not (root / "scores.json").exists()
    assert (root / "calibration.json").read_bytes() == b"{}"
    assert (built / "branch_rgb.engine").read_bytes() == b"engine"


@pytest.mark.usefixtures("coarse")
def test_a_projected_bundle_is_calibrated_by_its_short_embeddings(copy: Path, data: Path) -> None:
    outcome = calibrate(
        copy,
        CalibrationRequest(
            data=data, platforms=("avx2",), budget=100.0, samples=16, precision="int8"
        ),
    )
    with Runtime.load(copy, "ort-cpu", "int8", check=True) as runtime:
        assert (runtime.dim, runtime.variant) == (DIM, "int8-avx2")
        embeddings = embed_states(runtime, outcome.samples.judged.records[:4], (COMPLETE,))
    with Runtime.load(copy, "ort-cpu", "fp32") as runtime:
        real = embed_states(runtime, outcome.samples.judged.records[:4], (COMPLETE,))
    cosines = np.sum(embeddings[COMPLETE] * real[COMPLETE], axis=1)
    assert cosines.min() > outcome.whole["int8-avx2"][COMPLETE].worst - 0.05
    assert outcome.bundle.manifest.projection_digest


def test_an_affine_stays_in_front_of_the_projection(copy: Path) -> None:
    root = copy
    random = np.random.default_rng(0)
    scale = random.uniform(0.5, 2, WIDE).astype(np.float32)
    shift = random.normal(0, 0.1, WIDE).astype(np.float32)
    with np.load(root / "head.npz") as stored:
        arrays = dict(stored) | {"scale": scale, "shift": shift}
    relist(root, arrays)
    parts = random.uniform(0, 1, (3, 6, WIDE // 6)).astype(np.float32)
    long = parts.reshape(3, -1) * scale + shift
    long /= np.linalg.norm(long, axis=1, keepdims=True)
    expected = projected(long, arrays["mean"], arrays["matrix"])
    np.testing.assert_allclose(Head(Bundle.open(root))(parts), expected, atol=1e-6)


def relist(root: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Put other numbers into the head, and into the manifest that lists them."""
    manifest = Bundle.open(root).manifest
    for name in ("head.npz", MANIFEST):
        (root / name).unlink()  # both may be links
    file = store(root, "head.npz", npz(arrays))
    head = msgspec.structs.replace(manifest.head, affine=file)
    store_manifest(root, msgspec.structs.replace(manifest, head=head))


@pytest.mark.parametrize("lost", ["mean", "matrix", "shape"])
def test_a_projection_that_does_not_fit_is_refused(copy: Path, lost: str) -> None:
    with np.load(copy / "head.npz") as stored:
        arrays = dict(stored)
    if lost == "shape":
        arrays["matrix"] = arrays["matrix"][:, 1:]
    else:
        del arrays[lost]
    relist(copy, arrays)
    with pytest.raises(BundleError, match=r"head\.npz: has no '(mean|matrix)' of shape"):
        Runtime.load(copy, "ort-cpu")


def test_a_length_that_nothing_makes_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    edit_manifest(root, lambda document: document["head"].update(dim=128))
    with pytest.raises(BundleError, match=f"nothing projects {WIDE} numbers to 128"):
        Runtime.load(root, "ort-cpu")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"dim": WIDE}, f"makes {WIDE}: ask for less"),
        ({"dim": 0}, "ask for less"),
        ({"dim": 400}, "vary along 335 axes, and 400 are"),
        ({"data": Path("nowhere")}, "no such folder"),
        ({"data": SAMPLES}, "no known layout"),
        ({"budget": -100.0}, "more than -100. Nothing was written"),
    ],
)
@pytest.mark.usefixtures("remembered")
def test_what_cannot_be_projected_leaves_the_bundle_as_it_was(
    bundle_path: Path, data: Path, tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    root = copied(bundle_path, tmp_path)
    before = files(root)
    with pytest.raises(DenetError, match=word):
        project(root, request(**{"data": data} | changes))
    assert files(root) == before
    assert list(tmp_path.iterdir()) == [root]


def test_people_seen_by_one_camera_cannot_judge(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    single = tmp_path / "single"
    for folder in (data / "train").iterdir():
        (single / "train" / folder.name).mkdir(parents=True)
        for image in folder.iterdir():
            name = image.name.replace("_cam2", "_cam1_2").replace("_cam3", "_cam1_3")
            os.link(image, single / "train" / folder.name / name)
    root = copied(bundle_path, tmp_path)
    refused(denet("project", root, single, "--dim", DIM), "judged by mAP", "two cameras")


def test_the_test_split_is_never_fitted(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    only = tmp_path / "only"
    only.mkdir()
    (only / "test").symlink_to(data / "test")
    root = copied(bundle_path, tmp_path)
    refused(denet("project", root, only, "--dim", DIM), "no training split")


def test_a_bundle_is_projected_once(copy: Path, data: Path) -> None:
    refused(denet("project", copy, data, "--dim", 8), "projected to 24 already")


def test_a_calibrated_bundle_is_projected_as_fp32(
    bundle_path: Path, data: Path, tmp_path: Path
) -> None:
    root = copied(bundle_path, tmp_path)
    manifest = Bundle.open(root).manifest
    (root / MANIFEST).unlink()
    both = {
        name: msgspec.structs.replace(e, files=e.files | {"fp16": e.files["fp32"]})
        for name, e in manifest.engines.items()
    }
    canary = msgspec.structs.replace(
        manifest.canary, min_cosine={**manifest.canary.min_cosine, "fp16": 0.99}
    )
    store_manifest(root, msgspec.structs.replace(manifest, engines=both, canary=canary))
    refused(denet("project", root, data, "--dim", DIM), "denet slim --precision fp32")


@pytest.mark.usefixtures("remembered")
def test_a_disk_that_fills_up_leaves_the_bundle(
    bundle_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    root = copied(bundle_path, tmp_path)
    before = files(root)
    monkeypatch.setattr(calibration.project, "store_manifest", full)
    with pytest.raises(CalibrationError, match="No space left on device; it is as it was"):
        project(root, request(data))
    assert files(root) == before
    assert list(tmp_path.iterdir()) == [root]


def test_project_shows_what_it_tried(bundle_path: Path, data: Path, tmp_path: Path) -> None:
    root = copied(bundle_path, tmp_path)
    done = denet("project", root, data, "--dim", DIM, "--budget", 100, "--samples", 40, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["dim"] == DIM
    assert list(facts["tried"]) == [str(power) for power in POWERS]
    projection = Bundle.open(root).manifest.head.projection
    assert projection is not None
    assert (projection.samples, projection.power) == (40, facts["power"])
