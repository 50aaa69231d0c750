"""The composed runtime on ONNX Runtime's CPU backend against the network in PyTorch."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import export.bundle
from denet.data.transforms import evaluation_transform
from denet.graph import RGB_NIR_TIR, Modality, State
from denet.model import DENet
from export import export_bundle
from runtime import BackendError, Bundle, BundleError, CanaryError, ImageError, Runtime
from runtime.backends.base import EngineCall
from runtime.backends.choose import nvidia_gpu_present
from runtime.bundle.manifest import Manifest
from tests.paths import ROOT
from tests.runtime.bundle.test_bundle import edit_manifest, npz, put_listed

COMPLETE = RGB_NIR_TIR.complete
ENGINES = RGB_NIR_TIR.engines
MODALITIES = RGB_NIR_TIR.modalities
STATES = RGB_NIR_TIR.states

CHOOSE = sys.modules["runtime.backends.choose"]  # the package's `choose` is the function
DIM = 6 * 512

no_gpu = pytest.mark.skipif(nvidia_gpu_present(), reason="this machine has an NVIDIA GPU")

Arrays = dict[Modality, NDArray[np.uint8]]


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy whose files may be replaced, but not written into: they are links."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.denet", copy_function=os.link))


@pytest.fixture
def fresh(bundle: Bundle) -> Runtime:
    """A runtime that has loaded nothing yet."""
    return Runtime.load(bundle, "ort-cpu")


def photograph(random: np.random.Generator) -> NDArray[np.uint8]:
    """(h, w, 3) of some size: blobs of colour under fine grain."""
    width, height = (int(side) for side in random.integers(20, 100, 2))
    coarse = Image.fromarray(random.integers(0, 256, (8, 4, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def samples_in(states: Sequence[State], seed: int = 0) -> list[Arrays]:
    """A sample in each state; a thermal image has one channel."""
    random = np.random.default_rng(seed)
    return [
        {m: photograph(random)[:, :, 0] if m == "tir" else photograph(random) for m in s.available}
        for s in states
    ]


def mixed_states(count: int, seed: int) -> list[State]:
    random = np.random.default_rng(seed)
    return [STATES[i] for i in random.integers(0, len(STATES), count)]


def of_pytorch(model: DENet, sample: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The parts (6, C) and the embedding (dim,) of one sample."""
    images = {
        m: evaluation_transform(model.config, m)(Image.fromarray(image))[None]
        for m, image in sample.items()
    }
    with torch.no_grad():
        output = model(images, RGB_NIR_TIR.state(sample))
    return output.parts[:, 0].numpy(), output.embedding[0].numpy()


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_as_pytorch(model: DENet, samples: Sequence[Arrays], parts: NDArray[np.float32]) -> None:
    assert parts.shape == (len(samples), 6, 512)
    assert parts.dtype == np.float32
    for sample, found in zip(samples, parts, strict=True):
        expected, _ = of_pytorch(model, sample)
        for part in range(6):
            assert cosine(found[part], expected[part]) >= 0.99999
            assert relative_error(found[part], expected[part]) <= 1e-3


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Equal but for the order of sums, row by row."""
    assert found.shape == expected.shape
    for a, b in zip(found, expected, strict=True):
        assert relative_error(a, b) <= 1e-5


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


def test_forgotten_programs_are_made_again(
    fresh: Runtime, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.composer._KEPT_PROGRAMS", 2)
    batches = [samples_in([state] * 2, seed) for seed, state in enumerate(STATES)]
    for samples in [*batches, *batches]:
        assert_close(fresh.parts(samples), runtime.parts(samples))


def test_programs_that_serve_stay_and_others_make_room(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.composer._KEPT_PROGRAMS", 2)
    monkeypatch.setattr("runtime.composer._JUDGED", 40)
    a, b, c, d = STATES[:4]
    fresh.parts(samples_in([COMPLETE] * 2))  # tables for all that follow
    fresh.composer._programs.clear()

    def kept_after(*states: State) -> list[State]:
        for state in states:
            fresh.parts(samples_in([state]))
        return [state for (state,) in fresh.composer._programs]

    assert kept_after(a, b, c, c) == [a, b]  # there is room for two
    assert kept_after(*[a] * 34, c) == [a, b]  # judged: six of forty had none
    assert kept_after(*[c] * 30, *[a] * 9) == [a, b]
    assert kept_after(d) == [d]  # judged: 31 of forty had none
    assert kept_after(c, a) == [d, c]


def test_memory_is_that_of_the_largest_batch(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory: list[weakref.ref[Any]] = []
    allocate = fresh.composer.backend.allocate

    def recording(shape: tuple[int, ...]) -> Any:
        buffer = allocate(shape)
        memory.append(weakref.ref(buffer.owner))
        return buffer

    monkeypatch.setattr(fresh.composer.backend, "allocate", recording)
    for count in (1, 2, 3, 5, 8, 4, 1):
        fresh.parts(samples_in([COMPLETE] * count))
    gc.collect()
    # Images and features of three modalities, and one table of vectors.
    assert sum(owner() is not None for owner in memory) <= 7


def test_only_a_larger_batch_moves_what_programs_are_bound_to(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.parts(samples_in([COMPLETE] * 6))
    monkeypatch.setattr(fresh.composer.backend, "allocate", lambda shape: pytest.fail(f"{shape}"))
    for seed in range(20):
        states = np.random.default_rng(seed).integers(len(STATES), size=1 + seed % 6)
        fresh.parts(samples_in([STATES[i] for i in states]))


def test_a_missing_image_may_be_none(runtime: Runtime) -> None:
    (sample,) = samples_in([STATES[1]])
    assert STATES[1].missing == ("tir",)
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


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that were read from a bundle to be loaded, in order."""
    loads: list[str] = []
    read = Bundle.read_engine

    def recording(self: Bundle, engine: str, precision: Any) -> bytes:
        loads.append(engine)
        return read(self, engine, precision)

    monkeypatch.setattr(Bundle, "read_engine", recording)
    return loads


def test_engines_are_loaded_when_a_state_needs_them_and_once(
    bundle: Bundle, loads: list[str]
) -> None:
    thermal, both = RGB_NIR_TIR.state({"tir"}), RGB_NIR_TIR.state({"rgb", "tir"})
    with Runtime.load(bundle, "ort-cpu") as lazy:
        assert loads == []
        lazy.embed_batch(samples_in([thermal]))
        assert Counter(loads) == Counter(RGB_NIR_TIR.plan(thermal).engines)
        lazy.embed_batch(samples_in([thermal] * 2))
        lazy.embed_batch(samples_in([both, thermal]))
        assert Counter(loads) == Counter(
            {*RGB_NIR_TIR.plan(thermal).engines, *RGB_NIR_TIR.plan(both).engines}
        )


def test_preload_loads_all_engines_at_once(bundle: Bundle, loads: list[str]) -> None:
    with Runtime.load(bundle, "ort-cpu", preload=True) as eager:
        assert Counter(loads) == Counter(ENGINES)
        eager.embed_batch(samples_in(STATES))
        assert len(loads) == 15


def test_prepare_loads_what_the_states_need(fresh: Runtime, loads: list[str]) -> None:
    chosen = [RGB_NIR_TIR.state({"nir"}), RGB_NIR_TIR.state({"nir", "tir"})]
    fresh.prepare(chosen)
    assert Counter(loads) == Counter(
        {engine for s in chosen for engine in RGB_NIR_TIR.plan(s).engines}
    )


def test_a_trace_tells_when_each_engine_ran(fresh: Runtime) -> None:
    states = [STATES[1], STATES[5]]
    samples = [
        {m: np.full((3, 64, 32), 0.1, np.float32) for m in state.available} for state in states
    ]

    def fill(sample: int, modality: Modality, out: NDArray[np.float32]) -> None:
        np.copyto(out, samples[sample][modality])

    trace = fresh.composer.trace(states, fill)
    engines = [span.name for span in trace.spans if span.kind == "engine"]
    needed = {engine for state in states for engine in RGB_NIR_TIR.plan(state).engines}
    assert engines == [engine for engine in ENGINES if engine in needed]
    edges = [at for span in trace.spans for at in (span.start, span.stop)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= trace.seconds


def test_an_engine_runs_once_in_a_mixed_batch_whatever_the_states(
    fresh: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[str] = Counter()
    program = fresh.composer.backend.program

    def recording(uploads: Any, calls: Sequence[Any], downloads: Any) -> Any:
        runs.update(call.engine for call in calls if isinstance(call, EngineCall))
        return program(uploads, calls, downloads)

    monkeypatch.setattr(fresh.composer.backend, "program", recording)
    for states in (STATES, mixed_states(16, seed=4), [STATES[3], STATES[6]], [COMPLETE]):
        runs.clear()
        fresh.parts(samples_in(states))
        assert runs == Counter(
            {engine for state in states for engine in RGB_NIR_TIR.plan(state).engines}
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tpu",), ["'tpu'", "ort-cpu", "auto"]),
        (("ort-cpu", "fp16"), ["'fp16'", "fp32"]),
        (("ort-cpu", "int4"), ["'int4'", "fp32"]),
        (("auto", "int8"), ["'int8'", "fp32"]),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_choices(
    bundle: Bundle, arguments: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(BackendError) as refusal:
        Runtime.load(bundle, *arguments)
    for word in words:
        assert word in str(refusal.value)


@no_gpu
def test_a_gpu_asked_for_by_name_is_never_replaced_by_the_cpu(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="CUDA"):
        Runtime.load(bundle, "ort-cuda")


def test_another_number_of_threads_is_refused(fresh: Runtime, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as refusal:
        Runtime.load(bundle, "ort-cpu", threads=97)
    assert "97" in str(refusal.value)
    assert "first runtime" in str(refusal.value)


def test_a_choice_by_name_says_so(runtime: Runtime) -> None:
    assert (runtime.backend, runtime.precision) == ("ort-cpu", "fp32")
    assert "by name" in runtime.reason


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_why(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHOOSE, "nvidia_gpu_present", lambda: False)
    with Runtime.load(bundle) as chosen:
        assert (chosen.backend, chosen.precision) == ("ort-cpu", "fp32")
        assert "no NVIDIA GPU" in chosen.reason


@no_gpu
def test_auto_says_why_a_gpu_that_was_found_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHOOSE, "nvidia_gpu_present", lambda: True)
    with Runtime.load(bundle) as chosen:
        assert chosen.backend == "ort-cpu"
        assert "not tensorrt: " in chosen.reason
        assert "not ort-cuda: the CUDA driver cannot be loaded" in chosen.reason


def test_the_canary_sings(runtime: Runtime) -> None:
    report = runtime.check()
    assert report.failed == []
    assert set(report.cosines) == {state.name for state in STATES}
    assert all(0.99999 <= value <= 1.000001 for value in report.cosines.values())


def turned(vector: NDArray[np.float32], cosine: float) -> NDArray[np.float32]:
    """A vector of the same length at an angle of this cosine to `vector`."""
    aside = np.random.default_rng(0).normal(size=vector.shape)
    aside -= vector * (aside @ vector) / (vector @ vector)
    aside *= np.linalg.norm(vector) / np.linalg.norm(aside)
    return (cosine * vector + np.sqrt(1 - cosine**2) * aside).astype(np.float32)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    "damage",
    [
        lambda v: v[::-1],
        lambda v: turned(v, 0.99985),  # beyond the limit of 0.9999, but the mean is not
        lambda v: v * float("nan"),
        lambda v: v * 0,
    ],
    ids=["reversed", "turned", "nan", "zero"],
)
def test_a_state_with_wrong_embeddings_is_refused_by_name(
    copied: Path, damage: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    with np.load(copied / "canary.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    # Only one of the two samples.
    arrays["embedding_nir+tir"][1] = damage(arrays["embedding_nir+tir"][1])
    put_listed(copied, "canary.npz", npz(**arrays))
    Runtime.load(copied, "ort-cpu").close()
    with pytest.raises(CanaryError) as refusal:
        Runtime.load(copied, "ort-cpu", check=True)
    message = str(refusal.value)
    assert str(copied) in message
    assert "nir+tir (cosine" in message
    assert message.count("(cosine") == 1


@pytest.mark.parametrize("kind", ["branch", "cmft", "dem"])
def test_engines_in_each_others_place_are_found_by_the_canary(copied: Path, kind: str) -> None:
    one, other = [name for name in ENGINES if name.startswith(kind)][:2]

    def swap(document: dict[str, Any]) -> None:
        engines = document["engines"]
        engines[one]["files"], engines[other]["files"] = (
            engines[other]["files"],
            engines[one]["files"],
        )

    edit_manifest(copied, swap)
    Bundle.open(copied).verify()
    with pytest.raises(CanaryError):
        Runtime.load(copied, "ort-cpu", check=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["modalities"]["rgb"].update(mean=[0.5, 0.5, 0.5]),
        lambda p: p["modalities"]["tir"].update(std=[0.1, 0.1, 0.1]),
    ],
    ids=["mean", "std"],
)
def test_other_preprocessing_is_found_by_the_canary(
    copied: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit_manifest(copied, lambda document: change(document["preprocessing"]))
    with pytest.raises(CanaryError):
        Runtime.load(copied, "ort-cpu", check=True)


@pytest.fixture(scope="module")
def behind_neck(model: DENet) -> DENet:
    """The network of `model`, with retrieval behind a BN neck that has seen something."""
    config = msgspec.structs.replace(model.config, neck="after")
    made = DENet(config)
    made.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (made.neck.weight, made.neck.running_var):
            assert tensor is not None
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
        for tensor in (made.neck.bias, made.neck.running_mean):
            assert tensor is not None
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return made.eval()


@pytest.fixture(scope="module")
def neck_path(behind_neck: DENet, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neck") / "neck.denet"
    with pytest.MonkeyPatch.context() as patch:  # the engines are those of `bundle`
        patch.setattr(export.bundle, "to_onnx", lambda g, _: bundle.read_engine(g.name, "fp32"))
        patch.setattr(export.bundle, "check_parity", lambda *_, **__: [])
        export_bundle(behind_neck, path, checkpoint_sha256="0" * 64)
    return path


def test_a_model_that_retrieves_behind_its_neck(
    behind_neck: DENet, neck_path: Path, runtime: Runtime
) -> None:
    samples = samples_in(STATES)
    with Runtime.load(neck_path, "ort-cpu", check=True) as loaded:
        found, parts = loaded.embed_batch(samples), loaded.parts(samples)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    for sample, embedding in zip(samples, found, strict=True):
        _, expected = of_pytorch(behind_neck, sample)
        assert cosine(embedding, expected) >= 0.99999
        assert relative_error(embedding, expected) <= 1e-3
    assert_close(parts, runtime.parts(samples))  # the neck is behind the parts
    before = runtime.embed_batch(samples)
    assert all(cosine(a, b) < 0.99 for a, b in zip(found, before, strict=True))


def test_the_neck_is_a_listed_file_of_its_bundle(neck_path: Path) -> None:
    manifest: Manifest = Bundle.open(neck_path).manifest
    assert manifest.head.affine is not None
    files = {p.relative_to(neck_path).as_posix() for p in neck_path.rglob("*") if p.is_file()}
    assert files == {f.path for f in manifest.files()} | {"manifest.json"}


@pytest.mark.parametrize(
    "content", [npz(scale=np.ones(DIM)), npz(scale=np.ones(DIM), shift=np.ones(3))]
)
def test_a_neck_that_does_not_fit_is_refused(
    neck_path: Path, tmp_path: Path, content: bytes
) -> None:
    root = Path(shutil.copytree(neck_path, tmp_path / "copy.denet", copy_function=os.link))
    path = Bundle.open(root).manifest.head.affine
    assert path is not None
    put_listed(root, path.path, content)
    with pytest.raises(BundleError, match="shift"):
        Runtime.load(root, "ort-cpu")


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
