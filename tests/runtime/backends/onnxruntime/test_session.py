"""What an engine that ONNX Runtime cannot run looks like."""

from __future__ import annotations

import pytest

from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.providers import CPU
from runtime.backends.onnxruntime.session import Pool, open_session
from runtime.backends.onnxruntime.smallest import RELU


@pytest.mark.parametrize("model", [RELU[:10], RELU.replace(b"Relu", b"\xbcelu"), b""])
def test_one_that_cannot_be_loaded_is_one_error_and_prints_nothing(
    model: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    Pool.ensure(Pool.threads)
    with pytest.raises(BackendError, match="cannot load the engine x"):
        open_session(model, CPU, "x")
    assert capfd.readouterr() == ("", "")
