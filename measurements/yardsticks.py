"""What a transformer in TOP-ReID's manner costs on this machine, beside bundles of DENet.

    python measurements/yardsticks.py BUNDLE [BUNDLE ...] [--threads 2] [--rounds 20]

Each bundle is measured in every precision that it has for this CPU. The transformer has random
weights: three ViT-B/16 (timm's, 256x128, 128 patches and a class token), and what TOP-ReID
(Wang et al., AAAI 2024) puts behind them, approximately. Token permutation: three steps, in each of
which the class token of a modality attends to the tokens of another, multi-head attention and a
feed-forward layer of 4 times the width. Complementary reconstruction: a transformer block for each
missing modality, which makes its tokens of an available one's. All of it runs as ONNX in FP32, one
session for a ViT, called for each modality: 343 MB of weights fit no cache, so one set costs what
three would.

All sides run in turn (A B C A B C) in one process, one ONNX Runtime and one pool of threads, at
batch 1, from network input to embedding parts; ratios are medians, round by round. Energy is that
of the machine's power rails or of RAPL, where it has either.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from composed import interleave, processor, ratio
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from denet.graph import State
from export.engines import BATCH
from export.onnx import to_onnx_model
from runtime import Bundle, Runtime
from runtime.backends.onnxruntime.library import ort
from runtime.bundle.forms import Precision, cpu_platforms, variant
from runtime.machine.power import PowerMeter, module_total

SIZE = (256, 128)
WIDTH, HEADS, TOKENS, STEPS = 768, 12, 129, 3
RAPL = Path("/sys/class/powercap")
SIDE = "three ViT-B/16, FP32"


class Tokens(nn.Module):
    """Image (B, 3, 256, 128) -> all tokens (B, 129, 768), the class token first."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = timm.create_model("vit_base_patch16_224", img_size=SIZE, num_classes=0)

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.vit.forward_features(image)
        return tokens


class Permutation(nn.Module):
    """Tokens of three modalities, (3, B, 129, 768) -> class tokens side by side, (B, 3 x 768)."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.ModuleList(
            nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(STEPS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(STEPS))
        self.feed = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH),
                nn.Linear(WIDTH, 4 * WIDTH),
                nn.GELU(),
                nn.Linear(4 * WIDTH, WIDTH),
            )
            for _ in range(STEPS)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        classes = [tokens[m][:, :1] for m in range(3)]
        for step, (attend, norm, feed) in enumerate(
            zip(self.attend, self.norms, self.feed, strict=True)
        ):
            for m in range(3):
                other = norm(tokens[(m + step + 1) % 3])
                found, _ = attend(norm(classes[m]), other, other, need_weights=False)
                classes[m] = classes[m] + found
                classes[m] = classes[m] + feed(classes[m])
        return torch.cat(classes, dim=1).flatten(1)


class Reconstruction(nn.Module):
    """Tokens of one modality (B, 129, 768) -> those of another: one transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = timm.models.vision_transformer.Block(WIDTH, HEADS, qkv_bias=True)

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.block(tokens)
        return made


class Transformer:
    """The three parts as ONNX, and a run of them in a state."""

    def __init__(self, folder: Path) -> None:
        three = (3, BATCH, TOKENS, WIDTH)
        one = (BATCH, TOKENS, WIDTH)
        self._vit = session(folder, Tokens(), "image", (BATCH, 3, *SIZE), one)
        self._permute = session(folder, Permutation(), "tokens", three, (BATCH, 3 * WIDTH))
        self._restore = session(folder, Reconstruction(), "tokens", one, one)

    def run(self, state: State, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The embedding of one sample, whose images are all `image` (3, 256, 128)."""
        tokens = [self._vit(image[None]) for _ in state.available]
        tokens += [self._restore(tokens[0]) for _ in range(3 - len(tokens))]
        return self._permute(np.stack(tokens))


def session(
    folder: Path, module: nn.Module, name: str, shape: tuple, out: tuple
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A module as a function that ONNX Runtime computes, seen to agree with PyTorch."""
    module.eval()
    example = torch.randn([2 if d == BATCH else d for d in shape])
    path = folder / f"{type(module).__name__}.onnx"
    path.write_bytes(to_onnx_model(module, {name: example}, {name: shape}, {"made": out}))
    options = ort.SessionOptions()
    options.use_per_session_threads = False
    made = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    path.unlink()

    def run(value: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = made.run(None, {name: value})[0]
        return found

    with torch.inference_mode():
        expected = module(example).numpy()
    np.testing.assert_allclose(run(example.numpy()), expected, rtol=1e-2, atol=1e-3)
    return run


def joules(side: Callable[[], object], runs: int) -> float | None:
    """The energy of one run; None where the machine does not tell."""
    packages = sorted(RAPL.glob("intel-rapl:?/energy_uj"))
    before = [int(p.read_text()) for p in packages]
    with PowerMeter() as meter:
        for _ in range(runs):
            side()
    rails = meter.energy()
    total = module_total(rails) if rails else None
    if total is None and packages:
        spent = [int(p.read_text()) - b for p, b in zip(packages, before, strict=True)]
        total = sum(spent) / 1e6 if min(spent) >= 0 else None  # a counter that came round
    return None if total is None else total / runs


def precisions(bundle: Bundle) -> list[Precision]:
    """Those of a bundle that this CPU runs."""
    known: tuple[Precision, ...] = ("fp32", "fp16", "int8", "mixed")
    here = bundle.manifest.variants
    return [p for p in known if any(variant(p, each) in here for each in cpu_platforms())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    console = Console(stderr=True)
    runtimes: dict[str, Runtime] = {}
    for path in arguments.bundles:
        bundle = Bundle.open(path)
        size = bundle.manifest.preprocessing
        for precision in precisions(bundle):
            label = (
                f"DENet, {bundle.manifest.model['backbone']}, {size.height}x{size.width}, "
                f"{precision.upper()}"
            )
            runtimes[label] = Runtime.load(
                bundle, "ort-cpu", precision, threads=arguments.threads, preload=True
            )
    graph = next(iter(runtimes.values())).graph
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        console.print("exporting the transformer ...")
        transformer = Transformer(Path(folder))

    states = (graph.complete, graph.state(graph.modalities[:1]))
    cells: dict[str, list[str]] = {name: [] for name in (SIDE, *runtimes)}
    for state in states:
        image = random.standard_normal((3, *SIZE), np.float32)
        sides: dict[str, Callable[[], object]] = {SIDE: partial(transformer.run, state, image)}
        for name, runtime in runtimes.items():
            wanted = runtime.bundle.manifest.preprocessing
            sample = {
                m: random.standard_normal((3, wanted.height, wanted.width), np.float32)
                for m in state.available
            }
            sides[name] = partial(runtime.composer.run_tensors, [sample])
        times = interleave(sides, arguments.rounds)
        for name, side in sides.items():
            energy = joules(side, arguments.rounds)
            cells[name] += [
                f"{statistics.median(times[name]):.1f}",
                f"{1 / ratio(times, name, SIDE):.1f}",
                "not measurable" if energy is None else f"{energy:.3f}",
            ]
    console.print(
        f"{processor()}, {arguments.threads} threads, ONNX Runtime {ort.__version__}, "
        f"{arguments.rounds} rounds"
    )
    heads = [f"{what} {state}" for state in states for what in ("ms", "times as fast", "J")]
    print("| " + " | ".join(["batch 1", *heads]) + " |")
    print("|" + " --- |" * (1 + len(heads)))
    for name, row in cells.items():
        print("| " + " | ".join([name, *row]) + " |")


if __name__ == "__main__":
    main()
