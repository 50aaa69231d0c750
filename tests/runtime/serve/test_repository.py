"""A repository: all that Triton needs, in one stroke, and nothing of anybody else is lost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import Bundle, BundleError, Runtime
from runtime.bundle.manifest import MANIFEST
from runtime.bundle.signature import SIGNATURE, sign
from runtime.serve import ServeError
from runtime.serve.contract import read_made_by
from runtime.serve.model import BUNDLE, TritonPythonModel
from runtime.serve.repository import ServeOptions, write_repository
from tests.runtime.bundle.damage import edit_manifest
from tests.runtime.bundle.keys import made_key, needs_openssh
from tests.runtime.node.parts import another
from tests.runtime.serve.test_answering import columns, some

HERE = ServeOptions("ort-cpu", "fp32", batch=8)


def read(model: Path) -> dict[str, Any]:
    """A configuration as Triton gives it to a model."""
    text_format = pytest.importorskip("google.protobuf.text_format")
    pytest.importorskip("grpc")
    from runtime.serve import messages

    text = (model / "config.pbtxt").read_text()
    response = messages.ModelConfigResponse()
    text_format.Parse(text, response.config, allow_unknown_field=True)
    config = response.config
    parameters = {e.key: {"string_value": e.value.string_value} for e in config.parameters}
    return {
        "max_batch_size": config.max_batch_size,
        "instance_group": [{"count": group.count} for group in config.instance_group],
        "parameters": parameters,
        "text": text,
    }


def arguments(model: Path) -> dict[str, str]:
    return {
        "model_name": "denet",
        "model_version": "1",
        "model_repository": str(model),
        "model_config": json.dumps(read(model)),
    }


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backend's process has."""

    class TritonError:
        INVALID_ARG, INTERNAL = 3, 2

        def __init__(self, text: str, code: int) -> None:
            self.text, self.code = text, code

    played = SimpleNamespace(
        TritonError=TritonError,
        InferenceResponse=lambda tensors=(), error=None: SimpleNamespace(
            tensors=dict(tensors), error=error
        ),
        Tensor=lambda name, array: (name, array),
        get_input_tensor_by_name=lambda request, name: SimpleNamespace(
            as_numpy=lambda: np.array(request[name], object)[:, None]
        ),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", played)


def test_the_configuration_has_what_server_and_clients_need(bundle: Bundle, tmp_path: Path) -> None:
    edited = another(bundle.root, tmp_path / "a.denet", tools={"name": 'a "b" \\ é\n'})
    model = write_repository(Bundle.open(edited), tmp_path / "repository", HERE)
    config = read(model)
    manifest = config["parameters"]["manifest"]["string_value"].encode()
    assert (
        manifest
        == (edited / MANIFEST).read_bytes()
        == (model / "1" / BUNDLE / MANIFEST).read_bytes()
    )
    assert config["max_batch_size"] == 8
    for m in bundle.graph.modalities:
        assert f'input {{ name: "{m}" data_type: TYPE_STRING dims: [ 1 ] }}' in config["text"]
    assert f"dims: [ {bundle.manifest.head.dim} ]" in config["text"]
    assert config["text"].isascii()


def test_the_model_embeds_as_the_runtime_does(
    triton: None, bundle: Bundle, runtime: Runtime, tmp_path: Path
) -> None:
    model = write_repository(bundle, tmp_path / "repository", HERE)
    served = TritonPythonModel()
    served.initialize(arguments(model))
    samples = some(5)
    bad = {m: [b"x"] for m in bundle.graph.modalities}
    first, second, third = served.execute([columns(samples[:2]), bad, columns(samples[2:])])
    served.finalize()
    found = np.concatenate([each.tensors["embedding"] for each in (first, third)])
    assert found.dtype == np.float32
    assert np.abs(found - runtime.embed_batch(samples)).max() < 1e-5
    assert (second.error.code, "row 0, rgb" in second.error.text) == (3, True)
    for each in (first, third):
        made_by = each.tensors["made_by"]
        assert made_by.shape == (len(each.tensors["embedding"]), 1)
        assert read_made_by(made_by[0, 0]).variant == "fp32"


def damage(model: Path) -> None:
    path = next((model / "1" / BUNDLE).rglob("cmft_*.onnx"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"x")


def exchange(model: Path) -> None:
    edit_manifest(
        model / "1" / BUNDLE, lambda manifest: manifest.update(checkpoint_sha256="0" * 64)
    )


def write_version(model: Path) -> None:
    path = model / "config.pbtxt"
    path.write_text(path.read_text().replace('string_value: "1"', 'string_value: "2"', 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, "damaged"),
        (exchange, "is another bundle than config.pbtxt says"),
        (write_version, "written by another version of denet"),
    ],
)
def test_a_model_that_is_not_as_it_was_written_is_refused(
    triton: None, bundle: Bundle, tmp_path: Path, change: Any, words: str
) -> None:
    model = write_repository(bundle, tmp_path / "repository", HERE)
    change(model)
    with pytest.raises((ServeError, BundleError), match=words):
        TritonPythonModel().initialize(arguments(model))


def test_only_a_model_of_ours_is_replaced(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "repository"
    model = write_repository(bundle, out, HERE)
    before = (model / "config.pbtxt").stat().st_ino
    with pytest.raises(ServeError, match=r"exists already.*--force"):
        write_repository(bundle, out, HERE)
    other = write_repository(bundle, out, ServeOptions(name="other"))
    write_repository(bundle, out, HERE, replace=True)
    assert (model / "config.pbtxt").stat().st_ino != before
    assert other.is_dir()
    (model / "1" / "mine.txt").touch()
    with pytest.raises(ServeError, match=r"mine\.txt: move that elsewhere"):
        write_repository(bundle, out, HERE, replace=True)
    (model / "1" / "mine.txt").unlink()
    (model / "1" / BUNDLE / "mine.txt").touch()
    with pytest.raises(ServeError, match="holds what is not the bundle's"):
        write_repository(bundle, out, HERE, replace=True)
    (out / "somebody").mkdir()
    for name in ("somebody", "file"):
        (out / "file").touch()
        with pytest.raises(ServeError, match="did not write it"):
            write_repository(bundle, out, ServeOptions(name=name), replace=True)
    assert sorted(path.name for path in out.iterdir()) == ["denet", "file", "other", "somebody"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a" * 65, 'a"b'])
def test_names_that_are_no_folder(bundle: Bundle, tmp_path: Path, name: str) -> None:
    with pytest.raises(ServeError, match="--name"):
        write_repository(bundle, tmp_path / "repository", ServeOptions(name=name))
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_or_in_the_way_is_not_written(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="is a bundle"):
        write_repository(Bundle.open(copied), copied, HERE)
    opened = Bundle.open(copied)
    path = next(copied.rglob("cmft_*.onnx"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(BundleError, match="damaged"):
        write_repository(opened, tmp_path / "repository", HERE)
    assert not (tmp_path / "repository").exists()


@needs_openssh
def test_a_signature_is_demanded_and_goes_along(copied: Path, tmp_path: Path) -> None:
    private, public = made_key(tmp_path / "key")
    opened = Bundle.open(copied)
    with pytest.raises(BundleError, match="not signed"):
        write_repository(opened, tmp_path / "repository", HERE, key=public)
    sign(opened, private)
    model = write_repository(opened, tmp_path / "repository", HERE, key=public)
    assert (model / "1" / BUNDLE / SIGNATURE).is_file()
