"""What a bundle with TensorRT engines has to compute: the files that they are built from, composed
on the CPU and computed to the letter."""

from __future__ import annotations

from runtime import Bundle, Runtime
from runtime.backends.base import BackendError
from runtime.backends.choose import Choice
from runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from runtime.backends.onnxruntime.providers import CPU
from runtime.bundle.forms import Precision, variant


def reference_runtime(
    bundle: Bundle, precision: Precision, max_batch: int, threads: int | None = None
) -> Runtime:
    """A runtime of the forms that TensorRT takes, on the CPU, slow.

    INT8 is computed step by step, in float between quantization and dequantization: integer
    kernels of a CPU without VNNI saturate, and TensorRT's do not.

    Args:
        bundle: whose engines.
        precision: of them.
        max_batch: the largest batch.
        threads: of the process's pool; None for the cores that may be used.

    Raises:
        BackendError: the bundle has no such precision for TensorRT.
    """
    forms = bundle.manifest.forms(precision, "trt")
    if forms is None:
        raise BackendError(f"{bundle.root}: has no {precision} for TensorRT")
    backend = OnnxRuntimeBackend(
        bundle, forms, CPU, threads=threads, max_batch=max_batch, literal=True
    )
    choice = Choice(backend, precision, variant(precision, "trt"), forms, "the reference")
    return Runtime(bundle, choice, max_batch)
