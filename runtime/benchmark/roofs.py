"""The best that this machine does: the rate of a matrix product, and the bandwidth of a copy.

Both are measured with what runs the engines: matrix products by ONNX Runtime, in the same thread
pool, with one factor constant as weights are; copies by as many threads. The best of many runs
counts, since this is a limit. Needs `onnx` to write the graphs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.backends.onnxruntime.providers import Provider
from runtime.benchmark.bound import Bound
from runtime.benchmark.costs import Roofs
from runtime.benchmark.turns import Clock, Notify, Side, timed

SIDE = 1024
"""Rows and columns of the matrices that are multiplied."""

SECONDS = 1.0
"""For how long each roof is measured."""

COPIES = tuple(2**n for n in (20, 22, 24, 26, 28, 29))
"""Bytes that are touched by a copy, half of them read and half written: 1 MiB to 512 MiB. The small
ones stay in a cache."""

OPSET, IR_VERSION = 20, 10
"""ONNX Runtime 1.20 reads no newer ones."""


def measure_roofs(
    precisions: Sequence[str],
    provider: Provider,
    threads: int,
    clock: Clock = time.perf_counter,
    notify: Notify = lambda _: None,
) -> Roofs:
    """Measure the roofs that engines of some precisions have.

    Args:
        precisions: of "fp32", "fp16", "int8".
        provider: what multiplies; on a GPU it copies, too.
        threads: that copy, on a CPU.
        clock: to take times with.
        notify: told of each.

    Raises:
        BackendError: the device cannot multiply in a precision.
    """
    rates, copies = {}, {}
    for precision in precisions:
        notify(f"matrix rate, {precision}")
        rates[precision] = matrix_rate(precision, provider, clock)
    for size in COPIES:
        notify(f"copying {size >> 20} MiB")
        copies[size] = copy_rate(size, provider, threads, clock)
    return Roofs(rates=rates, copies=copies)


def matrix_rate(precision: str, provider: Provider, clock: Clock = time.perf_counter) -> float:
    """FLOP/s of a product of two square matrices."""
    model, left, product = _product(precision)
    bound = Bound(model, provider, f"matrix product ({precision})", {"x": left}, {"y": product})
    bound.run()
    return 2 * SIDE**3 / _best(bound.run_again, clock)


def _product(precision: str) -> tuple[bytes, NDArray[Any], NDArray[Any]]:
    """A graph that multiplies x by a constant matrix, an x, and a y to write to."""
    from onnx import TensorProto

    random = np.random.default_rng(0)
    if precision == "int8":  # unsigned by signed, as a CPU's INT8 engines multiply
        # Weights of 7 bits, as engines for a CPU without VNNI have: its sums would saturate.
        x: NDArray[Any] = random.integers(0, 256, (SIDE, SIDE), np.uint8)
        w: NDArray[Any] = random.integers(-63, 64, (SIDE, SIDE), np.int8)
        y: NDArray[Any] = np.empty((SIDE, SIDE), np.int32)
        kinds = TensorProto.UINT8, TensorProto.INT32
        return _graph("MatMulInteger", w.shape, w, *kinds), x, y
    element = np.float16 if precision == "fp16" else np.float32
    kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    x = random.standard_normal((SIDE, SIDE)).astype(element)
    w = random.standard_normal((SIDE, SIDE)).astype(element)
    return _graph("MatMul", w.shape, w, kind, kind), x, np.empty((SIDE, SIDE), element)


def copy_rate(
    size: int, provider: Provider, threads: int, clock: Clock = time.perf_counter
) -> float:
    """Bytes/s, read and written, of a copy that touches `size` bytes."""
    half = np.ones(size // 8, np.float32)
    if not provider.is_cpu:
        graph = _graph("Identity", half.shape)
        bound = Bound(graph, provider, "a copy", {"x": half}, {"y": np.empty_like(half)})
        bound.run()
        return size / _best(bound.run_again, clock)
    other = np.empty_like(half)
    pieces = list(zip(np.array_split(half, threads), np.array_split(other, threads), strict=True))
    often = max(1, (16 << 20) // size)  # so that starting threads costs nothing beside copying

    def copy(piece: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        source, target = piece
        for _ in range(often):
            np.copyto(target, source)

    with ThreadPoolExecutor(threads) as pool:
        return often * size / _best(lambda: list(pool.map(copy, pieces)), clock)


def _best(run: Side, clock: Clock) -> float:
    """The least time of many runs, in seconds; the first does not count."""
    run()
    best, spent = float("inf"), 0.0
    while spent < SECONDS:
        seconds = timed(run, clock)
        best, spent = min(best, seconds), spent + seconds
    return best


def _graph(
    operator: str,
    shape: Sequence[int],
    weights: NDArray[Any] | None = None,
    read: int = 1,
    made: int = 1,
) -> bytes:
    """A graph of one operator from x to y, both of `shape`, and constant weights if any.

    Its types are ONNX's numbers for them; 1 is float32.
    """
    import onnx
    from onnx import helper, numpy_helper

    constant = [] if weights is None else [numpy_helper.from_array(weights, "w")]
    node = helper.make_node(operator, ["x", *(c.name for c in constant)], ["y"])
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info("x", read, shape)],
        [helper.make_tensor_value_info("y", made, shape)],
        constant,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
