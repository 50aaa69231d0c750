"""The models of a bundle: whole in themselves, and each in its own place, though all digests are
right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from denet.graph import RGB_NIR_TIR
from runtime import BackendError, Bundle, BundleError, Runtime
from runtime.bundle.self_contained import _WITHIN, check_self_contained
from tests.runtime.bundle.damage import BRANCH, assert_refused, edit_manifest, put_listed

HERE = Path("model.onnx")


def external(tensor: TensorProto, location: str, *entries: tuple[str, str]) -> TensorProto:
    """The tensor with its values in another file."""
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (*entries, ("location", location), ("offset", "0"), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


@pytest.mark.parametrize(
    "location", ["weights.bin", "../weights.bin", "/etc/hostname", "*/_ORT_MEM_ADDR_/*"]
)
def test_weights_from_another_file_are_refused(
    copied: Path, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load_from_string((copied / BRANCH).read_bytes())
    values = next(t for t in model.graph.initializer if 64 <= len(t.raw_data) < 4096)
    (tmp_path / "weights.bin").write_bytes(bytes(4096))
    monkeypatch.chdir(tmp_path)
    external(values, location)
    put_listed(copied, BRANCH, model.SerializeToString())
    bundle = Bundle.open(copied)
    bundle.verify()
    refused = ("branch_rgb.onnx", "takes weights from outside")
    assert_refused(lambda: bundle.read_engine("branch_rgb", "fp32"), *refused)
    with Runtime.load(copied, "ort-cpu") as loaded:
        assert_refused(lambda: loaded.embed({"rgb": np.zeros((8, 8), np.uint8)}), *refused)


def node_with(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["made"], value=tensor)


def graph_of(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, [4])
    return helper.make_graph(list(nodes), "g", [], [made], initializer=weights)


def within_a_branch(tensor: TensorProto) -> onnx.ModelProto:
    inner = graph_of(node_with(tensor))
    node = helper.make_node("If", ["c"], ["made"], then_branch=inner, else_branch=inner)
    return helper.make_model(graph_of(node))


def within_a_function(tensor: TensorProto) -> onnx.ModelProto:
    function = helper.make_function(
        "own", "f", [], ["made"], [node_with(tensor)], [helper.make_opsetid("", 20)]
    )
    return helper.make_model(graph_of(helper.make_node("f", [], ["made"])), functions=[function])


def sparse(tensor: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(graph_of())
    indices = numpy_helper.from_array(np.arange(4), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [9]))
    return model


PLACES: dict[str, Callable[[TensorProto], onnx.ModelProto]] = {
    "initializer": lambda t: helper.make_model(graph_of(weights=(t,))),
    "constant": lambda t: helper.make_model(graph_of(node_with(t))),
    "subgraph": within_a_branch,
    "function": within_a_function,
    "sparse": sparse,
}


@pytest.mark.parametrize("place", PLACES)
def test_weights_from_outside_are_found_wherever_they_are(place: str) -> None:
    whole = numpy_helper.from_array(np.ones(4, np.float32), "location")
    content = PLACES[place](whole).SerializeToString()
    check_self_contained(content, HERE, BundleError)  # a name is no place
    other = external(numpy_helper.from_array(np.ones(4, np.float32), "w"), "w.bin")
    content = PLACES[place](other).SerializeToString()
    with pytest.raises(BundleError, match="takes weights from outside"):
        check_self_contained(content, HERE, BundleError)


def test_an_engine_that_was_compiled_elsewhere_is_refused() -> None:
    node = helper.make_node(
        "EPContext", [], ["made"], domain="com.microsoft", ep_cache_context="e.engine"
    )
    content = helper.make_model(graph_of(node)).SerializeToString()
    with pytest.raises(BundleError, match="compiled elsewhere"):
        check_self_contained(content, HERE, BundleError)


def reachable(descriptor: Descriptor, wanted: set[str], seen: tuple[str, ...] = ()) -> bool:
    """Whether a message of that kind can hold one of `wanted`, at any depth."""
    if descriptor.name in wanted:
        return True
    return descriptor.name not in seen and any(
        reachable(field.message_type, wanted, (*seen, descriptor.name))
        for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_MESSAGE
    )


@pytest.mark.parametrize("kind", _WITHIN)
def test_the_fields_are_those_of_the_standard(kind: str) -> None:
    descriptor = getattr(onnx, kind, None) or getattr(onnx.onnx_ml_pb2, kind)
    fields = {
        f.number: f.message_type.name
        for f in descriptor.DESCRIPTOR.fields
        if f.message_type is not None
        and reachable(f.message_type, {"TensorProto", "NodeProto", "SparseTensorProto"})
    }
    assert _WITHIN[kind] == fields


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_what_is_no_model_is_one_line(content: bytes) -> None:
    with suppress(BundleError):  # and nothing else
        check_self_contained(content, HERE, BundleError)


def within_field(number: int, content: bytes) -> bytes:
    """As a field of a message, as protobuf writes it."""
    length, size = len(content), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def test_a_model_that_is_nested_without_end_is_refused() -> None:
    inner = graph_of(node_with(external(numpy_helper.from_array(np.ones(4), "w"), "w")))
    content = inner.SerializeToString()
    for _ in range(3000):  # as AttributeProto.g of NodeProto.attribute of GraphProto.node
        for number in (6, 5, 1):
            content = within_field(number, content)
    content = within_field(7, content)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        check_self_contained(content, HERE, BundleError)


@pytest.mark.parametrize(
    ("place", "instead"),
    [
        ("branch_rgb", "branch_nir"),  # of the same tensors
        ("cmft_rgb2nir", "cmft_nir2rgb"),
        ("dem_rgb2nir", "dem_rgb2tir"),
        ("branch_rgb", "cmft_rgb2nir"),
        ("dem_rgb2nir", "branch_rgb"),
    ],
)
def test_an_engine_in_the_place_of_another_is_refused_when_it_is_loaded(
    copied: Path, place: str, instead: str
) -> None:
    content = (copied / f"onnx/fp32/{instead}.onnx").read_bytes()
    put_listed(copied, f"onnx/fp32/{place}.onnx", content)
    with (
        Runtime.load(copied, "ort-cpu") as loaded,
        pytest.raises(BackendError, match=f"{place}: .*another engine, '{instead}'"),
    ):
        loaded.prepare(RGB_NIR_TIR.states)


def other_name(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "image":
                node.input[i] = "picture"


def other_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 65


def fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def other_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.node.insert(
        0, helper.make_node("Cast", ["image"], ["as_float"], to=TensorProto.FLOAT)
    )
    for node in list(model.graph.node)[1:]:
        for i, name in enumerate(node.input):
            if name == "image":
                node.input[i] = "as_float"


def one_more_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(
        helper.make_tensor_value_info(model.graph.node[0].output[0], TensorProto.FLOAT, None)
    )


@pytest.mark.parametrize(
    "edit", [other_name, other_height, fixed_batch, other_type, one_more_output]
)
def test_other_tensors_than_the_manifest_has_are_refused(
    copied: Path, edit: Callable[[Any], None]
) -> None:
    model = onnx.load_from_string((copied / BRANCH).read_bytes())
    edit(model)
    put_listed(copied, BRANCH, model.SerializeToString())
    with Runtime.load(copied, "ort-cpu") as loaded, pytest.raises(BackendError) as refusal:
        loaded.embed({"rgb": np.zeros((8, 8), np.uint8)})
    assert "branch_rgb" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"____ORTM" + bytes(64)])
def test_what_is_no_onnx_model_is_one_line(copied: Path, content: bytes) -> None:
    put_listed(copied, BRANCH, content)
    with (
        Runtime.load(copied, "ort-cpu") as loaded,
        pytest.raises((BackendError, BundleError)) as refusal,
    ):
        loaded.embed({"rgb": np.zeros((8, 8), np.uint8)})
    assert "branch_rgb" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_model_with_a_manifest_of_another_is_refused(copied: Path) -> None:
    def halve(document: dict[str, Any]) -> None:
        document["preprocessing"]["height"] = 32
        for m in ("rgb", "nir", "tir"):
            document["engines"][f"branch_{m}"]["inputs"][0]["shape"][2] = 32

    edit_manifest(copied, halve)
    with Runtime.load(copied, "ort-cpu") as loaded, pytest.raises(BackendError, match="inputs"):
        loaded.embed({"rgb": np.zeros((8, 8), np.uint8)})


def test_an_engine_that_fails_as_it_runs_is_one_error(copied: Path) -> None:
    """Its inputs and outputs are right; a shape in the middle is not."""
    path = "onnx/fp32/dem_rgb2nir.onnx"
    model = onnx.load_from_string((copied / path).read_bytes())
    model.graph.initializer.append(numpy_helper.from_array(np.array([7, 13], np.int64), "shape"))
    first = model.graph.node[0]
    model.graph.node.insert(0, helper.make_node("Reshape", [first.input[0], "shape"], ["turned"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["turned"], ["lost"], keepdims=0))
    model.graph.node.insert(2, helper.make_node("Add", [first.input[0], "lost"], ["moved"]))
    model.graph.node[3].input[0] = "moved"
    put_listed(copied, path, model.SerializeToString())
    with Runtime.load(copied, "ort-cpu") as loaded, pytest.raises(BackendError) as raised:
        loaded.check()
    assert "dem_rgb2nir cannot be run" in str(raised.value)


def test_names_that_are_no_text_are_refused(copied: Path) -> None:
    content = (copied / BRANCH).read_bytes()
    put_listed(copied, BRANCH, content.replace(b"branch_rgb", b"branch_\xff\xfeb"))
    with Runtime.load(copied, "ort-cpu") as loaded, pytest.raises(BackendError):
        loaded.prepare(RGB_NIR_TIR.states)
