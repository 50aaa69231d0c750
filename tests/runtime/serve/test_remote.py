"""A client in the place of a runtime: the same embeddings, and every fault of a server told."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from denet.graph import StateError
from runtime import ImageError, Runtime
from runtime.serve import AwayError, ChangedError, RemoteRuntime, ServeError
from tests.paths import SAMPLES
from tests.runtime.serve.test_answering import some

if TYPE_CHECKING:
    from tests.runtime.serve.played import Played

grpc = pytest.importorskip("grpc", reason="needs grpcio: pip install '.[remote]'")


def test_it_embeds_as_the_runtime_does(played: Played, runtime: Runtime) -> None:
    samples = some(37)
    path = SAMPLES / "RGB" / "000001_cam1_0_00.jpg"
    with Image.open(path) as image:
        samples += [{"rgb": path, "nir": None}, {"rgb": image.convert("L"), "tir": image.copy()}]
        with RemoteRuntime.connect(played.address) as remote:
            found = remote.embed_batch(samples)
            assert np.array_equal(found, runtime.embed_batch(samples))
            assert remote.embed_batch([]).shape == (0, runtime.dim)
            assert np.array_equal(remote.embed(samples[0]), runtime.embed(samples[0]))
    assert played.requests == [1, 16, 16, 7, 1]


def test_every_process_of_a_server_is_asked(played: Played, runtime: Runtime) -> None:
    played.config.config.instance_group.add(count=3)
    with RemoteRuntime.connect(played.address) as remote:
        assert len(played.requests) == 3
        remote.check()
        assert len(played.requests) == 6
        remote.check(against=runtime.bundle)
        assert len(played.requests) == 6 + 3 * len(runtime.graph.states)
    from tests.runtime.serve.played import answer_of  # which needs gRPC

    asked = iter(range(3))

    def the_second_is_another(answer: Any) -> Any:
        other = np.eye(1, runtime.dim, dtype=np.float32)
        return answer_of(other, b"0" * 64 + b" ort-cpu fp32") if next(asked) == 1 else answer

    played.spoil = the_second_is_another
    with pytest.raises(ChangedError, match="another bundle"):
        RemoteRuntime.connect(played.address)


def test_it_has_the_attributes_of_a_runtime(played: Played, runtime: Runtime) -> None:
    with RemoteRuntime.connect(played.address) as remote:
        for name in ("backend", "precision", "variant", "forms", "dim", "max_batch", "graph"):
            assert getattr(remote, name) == getattr(runtime, name), name
        for name in ("manifest", "content", "graph"):
            assert getattr(remote.bundle, name) == getattr(runtime.bundle, name), name
        assert remote.preprocess.ranges == runtime.preprocess.ranges
        assert str(remote.bundle.root) == played.address


def test_ranges_of_a_sensor_hold_on_the_way(played: Played, runtime: Runtime) -> None:
    ranges = {"tir": (7000.0, 9000.0)}
    values = np.random.default_rng(0).integers(6000, 10000, (90, 50), dtype=np.uint16)
    with RemoteRuntime.connect(played.address, ranges=ranges) as remote:
        found = remote.embed({"tir": values})
    with Runtime.load(runtime.bundle, "ort-cpu", ranges=ranges) as here:
        assert np.array_equal(found, here.embed({"tir": values}))


def test_jpeg_is_near(played: Played, runtime: Runtime) -> None:
    sample = {"rgb": SAMPLES / "RGB" / "000001_cam1_0_00.jpg"}
    with RemoteRuntime.connect(f"{played.address}?jpeg=95") as remote:
        found, expected = remote.embed(sample), runtime.embed(sample)
    assert float(found @ expected) > 0.99
    assert not np.array_equal(found, expected)


def test_several_threads_may_call_it(played: Played, runtime: Runtime) -> None:
    samples = some(12)
    with RemoteRuntime.connect(played.address) as remote, ThreadPoolExecutor(4) as pool:
        found = np.array(list(pool.map(remote.embed, samples)))
    assert np.abs(found - runtime.embed_batch(samples)).max() < 1e-5


def test_what_is_wrong_with_a_sample_is_found_here(played: Played) -> None:
    with RemoteRuntime.connect(played.address) as remote:
        asked = len(played.requests)
        for sample, kind in (
            ({}, StateError),
            ({"uv": np.zeros((2, 2), np.uint8)}, StateError),
            ({"rgb": np.zeros((2, 2), np.float32)}, ImageError),
            ({"rgb": "nothing.png"}, ImageError),
        ):
            with pytest.raises(kind):
                remote.embed(sample)
        assert len(played.requests) == asked


def test_another_bundle_is_noticed_in_the_first_answer(
    played: Played, other_model: Runtime
) -> None:
    with RemoteRuntime.connect(played.address) as remote:
        played.serve(other_model)
        with pytest.raises(ChangedError, match="connect again"):
            remote.embed(some(1)[0])
    with RemoteRuntime.connect(played.address) as remote:
        assert remote.bundle.manifest.checkpoint_sha256 == "0" * 64


def test_a_server_that_says_another_bundle_than_it_has(
    played: Played, other_model: Runtime
) -> None:
    config = played.config
    played.serve(other_model)
    played.config = config
    with pytest.raises(ChangedError, match="serves another bundle than it says"):
        RemoteRuntime.connect(played.address)


def test_golden_inputs_are_compared(played: Played, runtime: Runtime, other_model: Runtime) -> None:
    with RemoteRuntime.connect(played.address) as remote:
        assert remote.check() is None
        report = remote.check(against=runtime.bundle)
        assert report is not None
        assert set(report.cosines) == {state.name for state in runtime.graph.states}
        with pytest.raises(ServeError, match="does not serve"):
            remote.check(against=other_model.bundle)

        def turned(answer: Any) -> Any:
            content = answer.raw_output_contents[0]
            answer.raw_output_contents[0] = np.roll(np.frombuffer(content, "<f4"), 1).tobytes()
            return answer

        played.spoil = turned
        with pytest.raises(ServeError.__base__, match="wrong embeddings"):
            remote.check(against=runtime.bundle)


def nan(answer: Any) -> Any:
    content = np.frombuffer(answer.raw_output_contents[0], "<f4").copy()
    content[-1] = np.nan
    answer.raw_output_contents[0] = content.tobytes()
    return answer


def oversized(answer: Any) -> Any:
    answer.raw_output_contents.append(bytes(17 << 20))
    return answer


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (nan, "no numbers"),
        (oversized, "larger than 16 MiB"),
        (lambda _answer: b"\xff\xff\xff", "answers with nonsense|fails: internal"),
        (lambda _answer: b"", "other tensors"),
    ],
)
def test_a_server_that_answers_with_nonsense(played: Played, spoil: Any, words: str) -> None:
    with RemoteRuntime.connect(played.address) as remote:
        played.spoil = spoil
        with pytest.raises(ServeError, match=words) as error:
            remote.embed(some(1)[0])
        assert "\n" not in str(error.value)
    with pytest.raises(ServeError, match=words):
        RemoteRuntime.connect(played.address)


def test_a_server_that_is_away_and_comes_back(played: Played, runtime: Runtime) -> None:
    sample = some(1)[0]
    with RemoteRuntime.connect(played.address) as remote:
        played.stop()
        with pytest.raises(AwayError, match="cannot be reached"):
            remote.embed(sample)
        with pytest.raises(AwayError, match="cannot be reached"):
            RemoteRuntime.connect(played.address)
        played.start()
        for _ in range(100):
            try:
                found = remote.embed(sample)
                break
            except AwayError:
                time.sleep(0.1)
        assert np.array_equal(found, runtime.embed(sample))
    with pytest.raises(AwayError):
        remote.embed(sample)


def test_a_server_that_never_answers(played: Played) -> None:
    with RemoteRuntime.connect(f"{played.address}?timeout=1") as remote:
        played.spoil = lambda answer: time.sleep(1.5) or answer
        with pytest.raises(AwayError, match="no answer in 1 s"):
            remote.embed(some(1)[0])


def test_wrong_servers(played: Played) -> None:
    with pytest.raises(ServeError, match="has no model 'x'"):
        RemoteRuntime.connect(f"{played.address}/x")
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    with pytest.raises(ServeError, match="is no server of models"):
        RemoteRuntime.connect(f"grpc://127.0.0.1:{port}")
    other.stop(None).wait()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that signs itself, for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def test_tls_with_certificates_on_both_sides(runtime: Runtime, certificates: Path) -> None:
    from tests.runtime.serve.played import playing

    pair = [(certificates / name).read_bytes() for name in ("key.pem", "ca.pem")]
    credentials = grpc.ssl_server_credentials([tuple(pair)], pair[1], require_client_auth=True)
    own = f"certificate={certificates}/ca.pem&key={certificates}/key.pem"
    with playing(runtime, credentials=credentials) as server:
        where = f"grpcs://localhost:{server.port}"
        with RemoteRuntime.connect(f"{where}?ca={certificates}/ca.pem&{own}") as remote:
            assert remote.dim == runtime.dim
        for options in (own, f"ca={certificates}/ca.pem", ""):
            with pytest.raises(AwayError, match="cannot be reached"):
                RemoteRuntime.connect(f"{where}?{options}")
        with pytest.raises(AwayError, match="cannot be reached"):
            RemoteRuntime.connect(f"grpc://localhost:{server.port}")
    with pytest.raises(ServeError, match=r"missing\.pem: cannot be read"):
        RemoteRuntime.connect(f"{where}?ca={certificates}/missing.pem")
