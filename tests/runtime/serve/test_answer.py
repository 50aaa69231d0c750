"""What a server says is read as what it should be, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Bundle, BundleError
from runtime.bundle.manifest import MANIFEST
from runtime.serve.answer import read_answer, read_config
from runtime.serve.contract import MadeBy, ServeError

pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")

from runtime.serve import messages
from tests.runtime.serve.played import answer_of, config_of, packed

NAME = "grpc://127.0.0.1:1"
MADE_BY = MadeBy("a" * 64, "ort-cpu", "int8-vnni")


def unit(rows: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_an_answer_is_read_as_it_was_written() -> None:
    given = unit(3, 8)
    found, made_by = read_answer(answer_of(given, MADE_BY.encode()), 3, 8, NAME)
    assert np.array_equal(found, given)
    assert found.flags.writeable
    assert made_by == MADE_BY


def changed(change: Callable[[Any], object]) -> Any:
    answer = answer_of(unit(2, 4), MADE_BY.encode())
    change(answer)
    return answer


def put(answer: Any, values: list[float]) -> None:
    answer.raw_output_contents[0] = np.array(values * 2, "<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: put(a, [np.nan, 0, 0, 0]), "no numbers"),
        (lambda a: put(a, [np.inf, 0, 0, 0]), "no numbers"),
        (lambda a: put(a, [3e38, 3e38, 0, 0]), "not of norm 1"),
        (lambda a: put(a, [0, 0, 0, 0]), "not of norm 1"),
        (lambda a: put(a, [1.1, 0, 0, 0]), "not of norm 1"),
        (lambda a: put(a, [1, 0, 0]), "cut short"),
        (lambda a: a.ClearField("outputs"), "other tensors"),
        (lambda a: a.ClearField("raw_output_contents"), "other tensors"),
        (lambda a: a.outputs.add(name="x"), "other tensors"),
        (lambda a: setattr(a.outputs[0], "datatype", "FP64"), "other tensors"),
        (lambda a: a.outputs[0].shape.append(1), "other tensors"),
        (lambda a: a.outputs[0].shape.insert(0, -(1 << 63)), "other tensors"),
        (lambda a: setattr(a.outputs[1], "name", "embedding"), "other tensors"),
        (lambda a: a.raw_output_contents.__setitem__(1, packed([b"x"])), "cut short"),
        (lambda a: a.raw_output_contents.__setitem__(1, packed([b"x"] * 2)), "by what"),
        (lambda a: a.raw_output_contents.__setitem__(1, packed([b"x", b"y"])), "by what"),
        (lambda a: a.raw_output_contents.__setitem__(1, b"\xff" * 8), "cut short"),
    ],
)
def test_a_wrong_answer_is_refused_in_one_line(change: Callable[[Any], object], words: str) -> None:
    with pytest.raises(ServeError, match=words) as error:
        read_answer(changed(change), 2, 4, NAME)
    assert str(error.value).startswith(NAME)
    assert "\n" not in str(error.value)


@given(st.data())
def test_a_damaged_answer_is_no_other_one(data: st.DataObject) -> None:
    content = bytearray(answer_of(unit(2, 4), MADE_BY.encode()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            del content[at:]
            break
    try:
        answer = messages.ModelInferResponse.FromString(bytes(content))
    except Exception:  # of protobuf; gRPC gives it back as an error of its own
        return
    try:
        found, _ = read_answer(answer, 2, 4, NAME)
    except ServeError:
        return
    assert found.shape == (2, 4)
    assert np.allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=1e-3)


def test_a_configuration_has_the_manifest(bundle: Bundle) -> None:
    response = config_of(bundle, 7)
    served = read_config(response, NAME)
    assert served.manifest == bundle.manifest
    assert served.content == (bundle.root / MANIFEST).read_bytes()
    assert (served.rows, served.processes) == (7, 1)
    for count in (1, 2):
        response.config.instance_group.add(count=count)
    assert read_config(response, NAME).processes == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.ClearField("parameters"), "was not written by `denet serve`"),
        (lambda c: setattr(c.parameters[0].value, "string_value", "2"), "use the same denet"),
        (lambda c: setattr(c, "max_batch_size", 0), "batches of 0"),
        (lambda c: setattr(c, "max_batch_size", 1 << 30), "batches of"),
        (lambda c: c.instance_group.add(count=1 << 30), "in 1073741824 processes"),
        (lambda c: c.instance_group.add(count=-1), "in -1 processes"),
        (lambda c: setattr(c.parameters[1].value, "string_value", "{}"), "not the manifest"),
        (
            lambda c: setattr(
                c.parameters[1].value,
                "string_value",
                c.parameters[1].value.string_value.replace("rgb", "bgr"),
            ),
            "its digest",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(
    bundle: Bundle, change: Callable[[Any], object], words: str
) -> None:
    response = config_of(bundle)
    change(response.config)
    with pytest.raises((ServeError, BundleError), match=words) as error:
        read_config(response, NAME)
    assert NAME in str(error.value)
    assert "\n" not in str(error.value)
