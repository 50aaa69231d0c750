"""What a server does with requests that came together."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Runtime
from runtime.serve.answering import Answering, BadRequestError
from runtime.serve.contract import read_made_by

MODALITIES = RGB_NIR_TIR.modalities


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def some(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Samples in the seven states in turn, those of TIR in 16 bits."""
    chance, states = np.random.default_rng(seed), RGB_NIR_TIR.states
    return [
        {
            m: chance.integers(0, 65536, (70, 40), dtype=np.uint16)
            if m == "tir"
            else chance.integers(0, 256, (60 + i, 30, 3), dtype=np.uint8)
            for m in states[i % len(states)].available
        }
        for i in range(count)
    ]


def columns(samples: list[dict[str, Any]]) -> dict[str, list[bytes]]:
    return {m: [npy(s[m]) if m in s else b"" for s in samples] for m in MODALITIES}


def test_requests_in_mixed_states_are_one_batch_and_each_gets_its_own(runtime: Runtime) -> None:
    samples, batches = some(14), []

    class Counting:
        bundle, backend, variant = runtime.bundle, runtime.backend, runtime.variant

        def embed_batch(self, given: Any) -> Any:
            batches.append(len(given))
            return runtime.embed_batch(given)

    answering = Answering(Counting())
    sizes = [1, 3, 1, 2, 7]
    starts = np.cumsum([0, *sizes[:-1]])
    requests = [samples[a : a + n] for a, n in zip(starts, sizes, strict=True)]
    answers = answering([columns(each) for each in requests])
    assert batches == [14]
    assert np.array_equal(np.concatenate(answers), runtime.embed_batch(samples))
    assert [len(answer) for answer in answers] == sizes
    assert read_made_by(answering.made_by.encode()) == answering.made_by


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({m: [b""] for m in MODALITIES}, "row 0: all modalities are missing"),
        ({"rgb": [b""], "nir": [b"GIF89a"], "tir": [b""]}, "row 0, nir"),
        ({"rgb": [b"x"], "nir": [b""], "tir": [b""]}, "row 0, rgb: not an image"),
    ],
)
def test_a_bad_request_costs_no_other(
    runtime: Runtime, bad: dict[str, list[bytes]], words: str
) -> None:
    samples = some(3)
    answers = Answering(runtime)([columns(samples[:1]), bad, columns(samples[1:])])
    assert isinstance(answers[1], BadRequestError)
    assert words in str(answers[1])
    assert np.array_equal(np.concatenate([answers[0], answers[2]]), runtime.embed_batch(samples))


def test_where_a_batch_fails_each_request_is_tried_alone(runtime: Runtime) -> None:
    class Failing:
        bundle, backend, variant = runtime.bundle, runtime.backend, runtime.variant

        def embed_batch(self, given: Any) -> Any:
            if any(sample.keys() == {"tir"} for sample in given):
                raise RuntimeError("the device is gone")
            return runtime.embed_batch(given)

    samples = some(7)
    answers = Answering(Failing())([columns([each]) for each in samples])
    assert [isinstance(a, RuntimeError) for a in answers] == [s.keys() == {"tir"} for s in samples]
    alone = [runtime.embed(s) for s, a in zip(samples, answers, strict=True) if len(s) > 1]
    found = [a[0] for s, a in zip(samples, answers, strict=True) if len(s) > 1]
    assert np.abs(np.array(found) - np.array(alone)).max() < 1e-5
    assert Answering(runtime)([]) == []
