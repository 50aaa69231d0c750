"""Ideas to make engines faster on a CPU, each measured against the way without it, in one run.

    python measurements/variants.py --work FOLDER [--threads 2] [--rounds 60]

FOLDER holds what `measurements/goals.py --work FOLDER` has made, or gets it. A ratio under 1 is a
gain. What denet does has `kept`; the rest was tried and left.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from alternating import apart
from goals import prepare
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from denet.branch import over_channels
from denet.cmft import CMFT, UpSample
from denet.graph import branch_engine, cmft_engine
from denet.model import DENet
from export.onnx import to_onnx_model
from runtime import Bundle
from runtime.backends.onnxruntime.library import ort
from runtime.benchmark.stats import Ratio
from runtime.benchmark.turns import Side
from runtime.machine import read_machine
from runtime.preprocess import Preprocessor

BRANCH = branch_engine("rgb")

Options = Callable[[ort.SessionOptions], None]


@dataclass(frozen=True)
class Idea:
    """What was tried, whether it was kept, and its time by that of the way without it."""

    what: str
    kept: bool
    found: Ratio


def session(model: bytes, threads: int, options: Options = lambda _: None) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    options(settings)
    return ort.InferenceSession(model, settings)


def side(opened: ort.InferenceSession, batch: int = 1) -> Side:
    """Runs of a session with one input, in bound buffers."""
    (given,) = opened.get_inputs()
    image = np.random.default_rng(0).standard_normal((batch, *given.shape[1:])).astype(np.float32)
    binding = opened.io_binding()
    binding.bind_cpu_input(given.name, image)
    for made in opened.get_outputs():
        binding.bind_output(made.name, "cpu")
    return partial(opened.run_with_iobinding, binding)


def no_pattern(settings: ort.SessionOptions) -> None:
    settings.enable_mem_pattern = False


def no_arena(settings: ort.SessionOptions) -> None:
    settings.enable_cpu_mem_arena = False


def no_spinning(settings: ort.SessionOptions) -> None:
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")


def no_layout(settings: ort.SessionOptions) -> None:
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED


def as_it_is(settings: ort.SessionOptions) -> None:
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def of_sessions(bundle: Bundle, threads: int, rounds: int) -> Iterator[Idea]:
    """Settings of ONNX Runtime, on a branch."""
    form = "int8-vnni" if "int8-vnni" in bundle.manifest.engines[BRANCH].files else "fp32"
    for precision in dict.fromkeys(("fp32", form)):
        model = bundle.read_engine(BRANCH, precision)
        usual = session(model, threads)
        for what, options in (
            ("no memory pattern", no_pattern),
            ("no arena", no_arena),
            ("threads that do not spin", no_spinning),
            ("without its layouts NCHWc and NHWC", no_layout),
        ):
            other = session(model, threads, options)
            found = apart(side(other), side(usual), rounds)
            yield Idea(f"{precision} branch: {what}", False, found)


def in_parallel(bundle: Bundle, threads: int, rounds: int) -> Iterator[Idea]:
    """Three branches at once, one thread each, against one after the other with all threads."""
    model = bundle.read_engine(BRANCH, "fp32")
    alone = [side(session(model, 1)) for _ in range(3)]
    # One session in place of three: pools of their own would fight, and the runtime has one.
    wide = [side(session(model, threads))] * 3
    with ThreadPoolExecutor(threads) as pool:

        def at_once() -> None:
            for done in [pool.submit(run) for run in alone]:
                done.result()

        def in_order() -> None:
            for run in wide:
                run()

        found = apart(at_once, in_order, rounds)
    yield Idea("three fp32 branches at once, a thread each", False, found)


def optimized(bundle: Bundle, threads: int) -> Iterator[Idea]:
    """Opening a graph that was optimized before, for this processor, against optimizing it."""
    for precision in ("fp32", "int8-vnni"):
        if precision not in bundle.manifest.engines[BRANCH].files:
            continue
        model = bundle.read_engine(BRANCH, precision)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"

            def save(settings: ort.SessionOptions, path: Path = path) -> None:
                settings.optimized_model_filepath = str(path)

            session(model, threads, save)
            ready = path.read_bytes()
        found = apart(
            partial(session, ready, threads, as_it_is), partial(session, model, threads), 12
        )
        yield Idea(f"{precision} branch: opened from an optimized graph", False, found)


class Shuffled(nn.Module):
    """UpSample of a CMFT as an engine of its own."""

    def __init__(self, up: UpSample) -> None:
        super().__init__()
        self.up = up

    def forward(self, feature: Tensor) -> Tensor:
        made: Tensor = self.up(feature)
        return made


class OneStep(nn.Module):
    """The reductions of CBAM over all channels of each place at once."""

    def forward(self, feature: Tensor) -> Tensor:
        return torch.stack([feature.mean(dim=1), feature.amax(dim=1)], dim=1)


class TwoSteps(nn.Module):
    """The same, in groups of channels first."""

    def forward(self, feature: Tensor) -> Tensor:
        return over_channels(feature)


def exported(module: nn.Module, shape: tuple[int, ...], made: int) -> bytes:
    example = torch.randn(3, *shape)
    with torch.no_grad():
        out = module(example)
    assert out.shape[1] == made
    name = "feature"
    return to_onnx_model(
        module.eval(), {name: example}, {name: ("B", *shape)}, {"made": ("B", *out.shape[1:])}
    )


def graphs(model: DENet, threads: int, rounds: int) -> Iterator[Idea]:
    """Other graphs of the same function."""
    cmft = model.engines[cmft_engine("rgb", "nir")]
    assert isinstance(cmft, CMFT)
    shape = (model.channels, *model.feature_size)
    blocks = session(exported(Shuffled(cmft.up.in_blocks()), shape, 48), threads)
    single = session(exported(Shuffled(cmft.up), shape, 48), threads)
    for batch in (1, 8):
        found = apart(side(blocks, batch), side(single, batch), rounds)
        yield Idea(f"fp32 UpSample: shuffle blocks, batch {batch}", True, found)
    two = session(exported(TwoSteps(), shape, 2), threads)
    one = session(exported(OneStep(), shape, 2), threads)
    for batch in (1, 8):
        found = apart(side(two, batch), side(one, batch), rounds)
        yield Idea(f"CBAM's reductions in two steps, batch {batch}", True, found)


def jpeg(grey: bool, height: int, width: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    (image.convert("L") if grey else image).save(content, "jpeg", quality=90)
    return content.getvalue()


def images(bundle: Bundle, rounds: int) -> Iterator[Idea]:
    """Preprocessing, of an image one and a half times as large as the network's."""
    spec = bundle.manifest.preprocessing
    preprocess = Preprocessor(spec)
    out = np.empty(preprocess.shape, np.float32)
    content = jpeg(True, spec.height * 3 // 2, spec.width * 3 // 2)

    def grey() -> None:
        preprocess(Image.open(io.BytesIO(content)), "tir", out)

    def coloured() -> None:
        preprocess(Image.open(io.BytesIO(content)).convert("RGB"), "tir", out)

    yield Idea("grey images resized as one channel", True, apart(grey, coloured, rounds * 4))
    pixels = np.asarray(
        Image.open(io.BytesIO(content)).convert("RGB").resize((spec.width, spec.height))
    )
    normal = spec.modalities["tir"]
    mean, std = (np.asarray(v, np.float32)[:, None] for v in (normal.mean, normal.std))
    table: NDArray[np.float32] = (
        np.arange(256, dtype=np.float32)[None] * np.float32(1 / 255) - mean
    ) / std

    def looked_up() -> None:
        for channel, values in enumerate(table):
            np.take(values, pixels[:, :, channel], out=out[channel], mode="clip")

    def computed() -> None:
        np.multiply(pixels.transpose(2, 0, 1), np.float32(1 / 255), out=out)
        np.subtract(out, mean[:, :, None], out=out)
        np.divide(out, std[:, :, None], out=out)

    found = apart(computed, looked_up, rounds * 4)
    yield Idea("normalization by arithmetic, not by a table", True, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    model, root, _ = prepare(asked.work, asked.threads)
    bundle = Bundle.open(root)
    torch.set_num_threads(asked.threads)
    console = Console(width=120)
    console.print(*read_machine().describe(), sep="\n", highlight=False)
    table = Table("idea", "time, with / without", "95 % interval", "kept")
    for part in (
        of_sessions(bundle, asked.threads, asked.rounds),
        in_parallel(bundle, asked.threads, asked.rounds // 3),
        optimized(bundle, asked.threads),
        graphs(model, asked.threads, asked.rounds * 2),
        images(bundle, asked.rounds),
    ):
        for idea in part:
            interval = f"{idea.found.low:.3f} to {idea.found.high:.3f}"
            kept = "yes" if idea.kept else "no"
            table.add_row(idea.what, f"{idea.found.median:.3f}", interval, kept)
    console.print(table)


if __name__ == "__main__":
    main()
