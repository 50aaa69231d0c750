"""What the tests of calibration have in common."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.samples import ChosenSamples, choose_samples
from denet.graph import RGB_NIR_TIR
from runtime import Bundle
from tests.command import denet, refused

STATES, ENGINES = RGB_NIR_TIR.states, RGB_NIR_TIR.engines

KINDS = ("branch_rgb", "cmft_rgb2nir", "dem_nir2rgb")


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def chosen(data: Path, bundle: Bundle, count: int = 20) -> ChosenSamples:
    return choose_samples(bundle.manifest, data, None, count, 0).calibration


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


def run_refused(bundle: Path, data: Path, *words: str, **options: object) -> None:
    arguments = [x for k, v in options.items() for x in (f"--{k}", v)]
    refused(denet("calibrate", bundle, data, *arguments), *words)
