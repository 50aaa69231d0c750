"""The runtime: samples in any state and mix are embedded as PyTorch embeds them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.graph import RGB_NIR_TIR, Modality, State
from denet.model import DENet
from runtime import Bundle, ImageError, Runtime
from tests.paths import ROOT
from tests.runtime.bundle.damage import edit_manifest
from tests.runtime.photographs import (
    DIM,
    assert_as_pytorch,
    assert_close,
    cosine,
    mixed_states,
    of_pytorch,
    relative_error,
    samples_in,
)

COMPLETE = RGB_NIR_TIR.complete
MODALITIES = RGB_NIR_TIR.modalities
STATES = RGB_NIR_TIR.states


def test_the_truth_tells_samples_and_parts_and_states_apart(model: DENet) -> None:
    # If all embeddings were alike, agreement with PyTorch would prove nothing.
    one, other = samples_in([COMPLETE] * 2)
    parts, _ = of_pytorch(model, one)
    assert all(
        cosine(a, b) < 0.999 for a, b in zip(parts, of_pytorch(model, other)[0], strict=True)
    )
    in_states = [of_pytorch(model, {m: one[m] for m in s.available})[1] for s in STATES]
    for i in range(len(STATES)):
        assert all(relative_error(in_states[i], in_states[j]) > 0.01 for j in range(i))
    for i in range(6):
        assert all(relative_error(parts[i], parts[j]) > 0.01 for j in range(i))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("state", STATES, ids=str)
def test_every_state_gives_the_parts_of_pytorch(
    runtime: Runtime, model: DENet, state: State, batch: int
) -> None:
    samples = samples_in([state] * batch)
    assert_as_pytorch(model, samples, runtime.parts(samples))


@pytest.mark.parametrize("seed", range(4))
def test_a_mixed_batch_gives_the_parts_of_pytorch(
    runtime: Runtime, model: DENet, seed: int
) -> None:
    samples = samples_in(mixed_states(16, seed), seed)
    parts = runtime.parts(samples)
    assert_as_pytorch(model, samples, parts)
    assert_close(parts, np.concatenate([runtime.parts([sample]) for sample in samples]))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_a_batch_is_that_of_its_results(runtime: Runtime, seed: int) -> None:
    samples = samples_in([*STATES, *STATES])
    order = np.random.default_rng(seed).permutation(len(samples))
    assert_close(runtime.parts([samples[i] for i in order]), runtime.parts(samples)[order])
    assert_close(runtime.parts(samples[::-1]), runtime.parts(samples)[::-1])


def test_the_same_sample_in_every_state_of_one_batch(runtime: Runtime, model: DENet) -> None:
    (whole,) = samples_in([COMPLETE])
    samples = [{m: whole[m] for m in state.available} for state in STATES]
    assert_as_pytorch(model, samples, runtime.parts(samples))


def test_a_state_with_one_modality_has_two_equal_halves(runtime: Runtime) -> None:
    for state in STATES[-3:]:
        parts = runtime.parts(samples_in([state] * 2))
        assert np.array_equal(parts[:, :3], parts[:, 3:])


@pytest.mark.parametrize("max_batch", [1, 3, 5, 10, 64])
def test_a_long_batch_is_cut_and_gives_the_same(
    bundle: Bundle, runtime: Runtime, max_batch: int
) -> None:
    samples = samples_in(mixed_states(10, seed=1))
    with Runtime.load(bundle, "ort-cpu", max_batch=max_batch) as cutting:
        sizes: list[int] = []
        run = cutting.composer.run

        def counting(states: Sequence[State], fill: Any) -> NDArray[np.float32]:
            sizes.append(len(states))
            return run(states, fill)

        cutting.composer.run = counting  # type: ignore[method-assign]
        assert_close(cutting.parts(samples), runtime.parts(samples))
    assert sum(sizes) == 10
    assert max(sizes) <= max_batch


def test_a_batch_of_none_at_most_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="max_batch"):
        Runtime.load(bundle, "ort-cpu", max_batch=0)


def test_embeddings_are_the_parts_side_by_side_with_norm_1(runtime: Runtime, model: DENet) -> None:
    samples = samples_in(STATES)
    embeddings = runtime.embed_batch(samples)
    assert (embeddings.shape, embeddings.dtype) == ((7, DIM), np.float32)
    assert runtime.dim == DIM
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    for sample, embedding in zip(samples, embeddings, strict=True):
        _, expected = of_pytorch(model, sample)
        assert cosine(embedding, expected) >= 0.99999
        assert relative_error(embedding, expected) <= 1e-3


def test_embed_is_a_row_of_embed_batch(runtime: Runtime) -> None:
    (sample,) = samples_in([STATES[2]])
    embedding = runtime.embed(sample)
    assert embedding.shape == (DIM,)
    assert np.array_equal(embedding, runtime.embed_batch([sample])[0])


def test_results_do_not_depend_on_earlier_calls(fresh: Runtime) -> None:
    big, small = samples_in(mixed_states(16, seed=2)), samples_in([STATES[5], STATES[0]], seed=9)
    first_small = fresh.parts(small)
    first_big = fresh.parts(big)
    kept = first_small.copy(), first_big.copy()
    assert_close(fresh.parts(small), first_small)
    assert_close(fresh.parts(big), first_big)
    assert_close(fresh.parts(big[3:9]), first_big[3:9])
    assert np.array_equal(first_small, kept[0]), "a later call wrote to an earlier result"
    assert np.array_equal(first_big, kept[1]), "a later call wrote to an earlier result"


def test_results_belong_to_the_caller(runtime: Runtime) -> None:
    samples = samples_in([COMPLETE])
    embeddings, parts = runtime.embed_batch(samples), runtime.parts(samples)
    kept = parts.copy()
    embeddings[:] = np.nan
    parts[:] = np.nan
    assert_close(runtime.parts(samples), kept)


def test_a_missing_image_may_be_none(runtime: Runtime) -> None:
    (sample,) = samples_in([STATES[1]])
    assert runtime.graph.missing(STATES[1]) == ("tir",)
    with_none: Any = {**sample, "tir": None}
    assert np.array_equal(runtime.parts([with_none]), runtime.parts([sample]))


def test_an_empty_batch_gives_no_embeddings(runtime: Runtime) -> None:
    assert runtime.parts([]).shape == (0, 6, 512)
    assert runtime.embed_batch([]).shape == (0, DIM)


@pytest.mark.parametrize("sample", [{}, {"rgb": None}, {"rgb": None, "nir": None, "tir": None}])
def test_a_sample_without_any_image_is_refused(runtime: Runtime, sample: Any) -> None:
    with pytest.raises(ValueError, match="no modality"):
        runtime.embed(sample)
    with pytest.raises(ValueError, match="no modality"):
        runtime.embed_batch([*samples_in([COMPLETE]), sample])


def test_an_unknown_modality_is_refused_by_name(runtime: Runtime) -> None:
    sample: Any = {"rgb": np.zeros((8, 8), np.uint8), "uv": np.zeros((8, 8), np.uint8)}
    with pytest.raises(ValueError, match="'uv'"):
        runtime.embed(sample)


def test_paths_images_and_arrays_are_the_same_sample(runtime: Runtime, tmp_path: Path) -> None:
    (sample,) = samples_in([COMPLETE])
    opened = {m: Image.fromarray(array) for m, array in sample.items()}
    paths = {m: tmp_path / f"{m}.png" for m in sample}
    for m, image in opened.items():
        image.save(paths[m])
    assert np.array_equal(runtime.embed(opened), runtime.embed(sample))
    assert np.array_equal(runtime.embed(paths), runtime.embed(sample))


def test_a_bad_image_fails_its_batch_and_no_other(runtime: Runtime, tmp_path: Path) -> None:
    samples: list[Any] = samples_in(mixed_states(5, seed=3))
    expected = runtime.parts(samples)
    with pytest.raises(ImageError, match=r"none\.png"):
        runtime.embed_batch([*samples, {"nir": tmp_path / "none.png"}])
    assert_close(runtime.parts(samples), expected)


def test_threads_that_share_a_runtime_get_their_own_results(fresh: Runtime) -> None:
    jobs = [samples_in(mixed_states(1 + worker * 2, seed=worker), worker) for worker in range(4)]
    found: dict[int, list[NDArray[np.float32]]] = {worker: [] for worker in range(4)}
    start = threading.Barrier(4)

    def work(worker: int) -> None:
        start.wait()
        for _ in range(6):
            found[worker].append(fresh.embed_batch(jobs[worker]))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker, samples in enumerate(jobs):
        assert len(found[worker]) == 6
        for embeddings in found[worker]:
            assert_close(embeddings, fresh.embed_batch(samples))


def test_closing_releases_the_engines(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[weakref.ref[Any]] = []
    make = ort.InferenceSession

    def recording(*arguments: Any, **named: Any) -> Any:
        session = make(*arguments, **named)
        sessions.append(weakref.ref(session))
        return session

    monkeypatch.setattr(ort, "InferenceSession", recording)
    with Runtime.load(bundle, "ort-cpu") as loaded:
        loaded.embed_batch(samples_in([COMPLETE]))
        assert len(sessions) == len(RGB_NIR_TIR.plan(COMPLETE).engines)
        assert all(session() is not None for session in sessions)
    gc.collect()
    assert [session() for session in sessions if session() is not None] == []
    assert loaded.dim == DIM  # the runtime itself is still here, and holds nothing


def test_closing_one_runtime_leaves_another_alone(bundle: Bundle, runtime: Runtime) -> None:
    samples = samples_in([COMPLETE])
    expected = runtime.parts(samples)
    with Runtime.load(bundle, "ort-cpu") as other:
        assert_close(other.parts(samples), expected)
    assert_close(runtime.parts(samples), expected)


CAMERA_NODE = """
import sys
for absent in ("torch", "torchvision", "onnx", "onnxscript", "safetensors"):
    sys.modules[absent] = None  # importing it now raises ImportError
import numpy as np
from runtime import BackendError, Runtime
with Runtime.load(sys.argv[1], check=True, threads=1) as loaded:
    np.save(sys.argv[3], loaded.embed({"rgb": sys.argv[2]}))
Runtime.load(sys.argv[1], threads=1)
Runtime.load(sys.argv[1])
try:
    Runtime.load(sys.argv[1], threads=2)
except BackendError as error:
    print(error)
"""


def test_a_camera_node_needs_no_torch(bundle_path: Path, runtime: Runtime, tmp_path: Path) -> None:
    (sample,) = samples_in([RGB_NIR_TIR.state({"rgb"})])
    Image.fromarray(sample["rgb"]).save(tmp_path / "rgb.png")
    done = subprocess.run(
        [
            *(sys.executable, "-c", CAMERA_NODE),
            *(str(bundle_path), str(tmp_path / "rgb.png"), str(tmp_path / "found.npy")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_close(np.load(tmp_path / "found.npy")[None], runtime.embed(sample)[None])
    assert "made with 1 threads" in done.stdout


@pytest.mark.parametrize("modality", MODALITIES)
def test_16_bit_images_take_the_range_of_the_manifest(
    copied: Path, runtime: Runtime, modality: Modality
) -> None:
    edit_manifest(
        copied,
        lambda d: d["preprocessing"]["modalities"][modality].update(range16=[1000, 1255]),
    )
    grey = samples_in([RGB_NIR_TIR.state({"tir"})])[0]["tir"]
    raw = grey.astype(np.uint16) + 1000
    with Runtime.load(copied, "ort-cpu") as loaded:
        assert np.array_equal(loaded.embed({modality: raw}), loaded.embed({modality: grey}))
    assert not np.array_equal(runtime.embed({modality: raw}), runtime.embed({modality: grey}))
