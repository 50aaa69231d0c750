"""What each precision of a bundle does to the ranking of a test split, in all missing states.

    python measurements/ranking.py BUNDLE DATA [--threads 2]

All samples of the test split are queries and gallery; none of them calibrated or chose anything.
mAP of FP32, and of each variant its change in points with a paired 95 % interval (bootstrap over
identities). What is made for TensorRT is computed in float as its model says, step by step.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from composed import processor

from calibration.judge import Judge
from calibration.replay import ReplayEngines
from calibration.samples import ChosenSamples
from denet.data.records import open_data
from denet.testset import all_samples, open_split
from runtime import Bundle
from runtime.bundle.forms import PLATFORMS, PRECISIONS, Forms, cpu_platforms, variant
from runtime.head import Head
from runtime.preprocess import Preprocessor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    choices: dict[str, Forms] = {}
    for precision in PRECISIONS[1:]:
        for platform in PLATFORMS if precision != "fp16" else (None,):
            forms = bundle.manifest.forms(precision, platform)
            if forms is not None and platform in (None, "trt", *cpu_platforms()):
                choices[variant(precision, platform)] = forms
    samples = all_samples(open_split(open_data(arguments.data)))
    judge = Judge(
        ReplayEngines(bundle.graph, bundle.read_engine, arguments.threads),
        Head(bundle),
        ChosenSamples(
            samples,
            bundle.graph.complete,
            bundle.graph,
            Preprocessor(bundle.manifest.preprocessing),
            str(arguments.data),
        ),
        labelled=True,
        batch=8,
        seed=0,
    )
    effects = judge.judge(choices)
    backbone = bundle.manifest.model["backbone"]
    print(f"{processor()}; {backbone}, {len(samples)} samples\n")
    print("| mAP, % | FP32 | " + " | ".join(choices) + " |")
    print("|---" * (len(choices) + 2) + "|")
    for state in bundle.graph.states:
        first = effects[next(iter(choices))][state]
        cells = [state.name, f"{first.map_fp32:.2f}"]
        for name in choices:
            effect = effects[name][state]
            assert effect.interval is not None
            low, high = effect.interval
            cells.append(f"{effect.change:+.2f} ({low:+.2f}, {high:+.2f})")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
