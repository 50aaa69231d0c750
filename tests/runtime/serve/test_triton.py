"""Against the real Triton of nvidia-pytriton, with a repository as `denet serve` writes it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import Bundle, Runtime
from runtime.node.serving import load_serving
from runtime.serve import ChangedError, RemoteRuntime, ServeError
from runtime.serve.model import BUNDLE
from tests.command import denet, refused
from tests.paths import ROOT, SAMPLES
from tests.runtime.node.parts import another, document
from tests.runtime.node.waiting import until
from tests.runtime.serve.test_answering import some
from tests.runtime.serve.triton import Triton, why_absent

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(bool(why_absent()), reason=why_absent() or "is there"),
]

pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")


def write(bundle: Path, repository: Path, *options: object) -> None:
    done = denet("serve", bundle, "--out", repository, "--backend", "ort-cpu", "--force", *options)
    assert done.exit_code == 0, done.output


@pytest.fixture
def repository(tmp_path: Path, bundle_path: Path) -> Path:
    write(bundle_path, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def triton(repository: Path, tmp_path: Path) -> Iterator[Triton]:
    with Triton(repository, tmp_path) as server:
        server.wait()
        yield server


def test_it_embeds_as_the_runtime_does_and_puts_states_into_one_batch(
    triton: Triton, runtime: Runtime
) -> None:
    samples = some(64)
    with RemoteRuntime.connect(triton.address) as remote:
        assert np.array_equal(remote.embed_batch(samples), runtime.embed_batch(samples))
        before = triton.batches()
        with ThreadPoolExecutor(16) as pool:
            found = np.array(list(pool.map(remote.embed, samples)))
        assert np.abs(found - runtime.embed_batch(samples)).max() < 1e-5
    asked, batches = (after - b for after, b in zip(triton.batches(), before, strict=True))
    assert asked == len(samples)
    assert batches < asked  # these are in seven states
    done = denet("probe", triton.address, "--against", runtime.bundle.root)
    assert done.exit_code == 0, done.output


def test_files_of_images_and_a_bad_one_among_them(
    triton: Triton, runtime: Runtime, tmp_path: Path
) -> None:
    path = SAMPLES / "RGB" / "000001_cam1_0_00.jpg"
    thermal = np.random.default_rng(0).integers(0, 65536, (50, 40), dtype=np.uint16)
    Image.fromarray(thermal).save(tmp_path / "t.png")
    from runtime.serve import messages
    from runtime.serve.address import read_server_address
    from runtime.serve.answer import read_answer
    from runtime.serve.connection import Connection
    from tests.runtime.serve.played import packed

    def ask(connection: Connection, rgb: bytes, tir: bytes) -> Any:
        request = messages.ModelInferRequest(model_name="denet")
        for name, content in (("rgb", rgb), ("nir", b""), ("tir", tir)):
            request.inputs.add(name=name, datatype="BYTES").shape.extend((1, 1))
            request.raw_input_contents.append(packed([content]))
        return read_answer(connection.infer(request), 1, runtime.dim, "x")[0][0]

    connection = Connection(read_server_address(triton.address))
    expected = runtime.embed({"rgb": path, "tir": thermal})
    good = (connection, path.read_bytes(), (tmp_path / "t.png").read_bytes())
    bad = (connection, b"x", b"")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, *(bad if i % 3 == 0 else good)) for i in range(24)]
        for i, each in enumerate(asked):
            if i % 3 == 0:
                with pytest.raises(ServeError, match="row 0, rgb: not an image"):
                    each.result()
            else:
                assert each.result() == pytest.approx(expected, abs=1e-5)
    connection.close()


def test_an_exchange_under_load_fails_no_request_and_a_damaged_one_is_refused(
    triton: Triton, repository: Path, bundle_path: Path, tmp_path: Path, runtime: Runtime
) -> None:
    other = another(bundle_path, tmp_path / "other.denet", checkpoint_sha256="0" * 64)
    samples, stop, failures, digests = some(7), threading.Event(), [], set()
    expected = runtime.embed_batch(samples)

    def ask(first: int) -> None:
        remote, i = RemoteRuntime.connect(triton.address), first
        while not stop.is_set():
            try:
                found = remote.embed(samples[i % 7])
                digests.add(remote.digest)
                if np.abs(found - expected[i % 7]).max() > 1e-5:
                    failures.append(f"{i}: another embedding")
            except ChangedError:
                remote.close()
                remote = RemoteRuntime.connect(triton.address)
            except ServeError as error:
                failures.append(str(error))
            i += 1
        remote.close()

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(digests) == 1)
        write(other, repository)
        assert triton.load() == (200, "")
        until(lambda: len(digests) == 2)
        path = next((repository / "denet" / "1" / BUNDLE).rglob("cmft_*.onnx"))
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        before = triton.batches()[0]
        status, said = triton.load()
        assert status == 400
        assert f"{path.name}: damaged" in said
        until(lambda: triton.batches()[0] > before + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    with RemoteRuntime.connect(triton.address) as remote:
        assert remote.bundle.content == Bundle.open(other).content


def test_a_server_whose_process_died_says_that_it_is_ready_and_a_probe_knows(
    triton: Triton, bundle_path: Path, data: Path
) -> None:
    os.kill(triton.stub(), signal.SIGKILL)
    until(lambda: denet("probe", f"{triton.address}?timeout=2").exit_code == 2)
    assert triton.ready()
    made = document(bundle_path, data / "test")
    made["model"]["server"] = f"{triton.address}?timeout=2"
    from runtime.node.settings import convert

    serving = load_serving(convert(made), None)
    assert serving.away
    serving.close()
    assert triton.unload()[0] == 200
    until(lambda: triton.load()[0] == 200)
    assert denet("probe", triton.address).exit_code == 0


def test_several_processes_embed_and_a_probe_finds_the_one_that_died(
    bundle_path: Path, tmp_path: Path, runtime: Runtime
) -> None:
    write(bundle_path, tmp_path / "repository", "--processes", 2)
    samples = some(64)
    with Triton(tmp_path / "repository", tmp_path) as triton:
        triton.wait()
        assert len(triton.stubs()) == 2
        with RemoteRuntime.connect(triton.address) as remote, ThreadPoolExecutor(16) as pool:
            found = np.array(list(pool.map(remote.embed, samples)))
        assert np.abs(found - runtime.embed_batch(samples)).max() < 1e-5
        os.kill(triton.stubs()[1], signal.SIGKILL)
        until(lambda: denet("probe", f"{triton.address}?timeout=2").exit_code == 2)
        for _ in range(3):
            refused(denet("probe", f"{triton.address}?timeout=2"), "fails")


def test_the_server_of_compose_lets_in_who_has_a_certificate_and_loads_for_who_has_the_key(
    repository: Path, tmp_path: Path, runtime: Runtime
) -> None:
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["triton"]
    authority(tmp_path)
    (folder,) = [v.partition(":")[2].removesuffix(":ro") for v in service["volumes"]]
    options = [
        re.sub(r"\$\{DENET_ADMIN:.*\}", "sesame", option)
        .replace("/run/secrets", str(tmp_path))
        .replace(folder, str(repository))
        for option in service["command"]
    ]
    with Triton(repository, tmp_path, "denet", *options) as triton:
        triton.wait()
        where = f"grpcs://localhost:{triton.grpc}?ca={tmp_path}/ca.pem"
        own = f"&certificate={tmp_path}/triton.pem&key={tmp_path}/triton.key"
        (test, _, command, address) = service["healthcheck"]["test"]
        assert (test, command) == ("CMD", "probe")
        address = address.replace("/run/secrets", str(tmp_path)).replace("8001", str(triton.grpc))
        assert address == where + own
        done = denet("probe", address, "--against", runtime.bundle.root)
        assert done.exit_code == 0, done.output
        for other in (where, f"grpc://localhost:{triton.grpc}"):
            refused(denet("probe", other), "cannot be reached")
        for key, code in ((None, "UNAVAILABLE"), ("sesame", "OK")):
            assert unload(triton.grpc, tmp_path, key) == code
        refused(denet("probe", address), "has no model 'denet'")


def authority(folder: Path) -> None:
    """An authority, and the certificate of a server that may be called localhost."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-addext", "subjectAltName=DNS:localhost"]
    sign = ["x509", "-req", "-in", "triton.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
    for command in (
        ["req", "-x509", *key, "-subj", "/CN=site", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=triton", *name, "-keyout", "triton.key", "-out", "triton.csr"],
        [*sign, "-copy_extensions", "copy", "-days", "2", "-out", "triton.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


def unload(port: int, folder: Path, key: str | None) -> str:
    """Ask by gRPC to unload the model; the code of the answer."""
    import grpc

    files = [(folder / name).read_bytes() for name in ("ca.pem", "triton.key", "triton.pem")]
    with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(*files)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelUnload")
        request = b"\x12\x05denet"  # the second field: the name of the model
        metadata = () if key is None else (("triton-grpc-protocol-denet-admin", key),)
        try:
            call(request, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def test_a_model_that_is_not_there(triton: Triton) -> None:
    refused(denet("probe", f"{triton.address}/other"), "has no model 'other'")
