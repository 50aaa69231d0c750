"""An outcome of a calibration that never was, for what tells a person of it."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from calibration.choose import Selection
from calibration.emit import Emitted
from calibration.judge import Effect, Effects
from calibration.outcome import Outcome
from calibration.request import CalibrationRequest
from calibration.samples import ChosenSamples, Samples
from denet.data.records import Record
from denet.graph import RGB_NIR_TIR
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import Form
from runtime.bundle.manifest import (
    SCHEMA,
    Canary,
    Engine,
    File,
    HeadSpec,
    Manifest,
    NormalizationSpec,
    Preprocessing,
)
from runtime.preprocess import Preprocessor

COMPLETE, STATES, ENGINES = RGB_NIR_TIR.complete, RGB_NIR_TIR.states, RGB_NIR_TIR.engines

TIR = RGB_NIR_TIR.parse("tir")

BUDGET = 0.5

NORMAL = NormalizationSpec(mean=(0, 0, 0), std=(1, 1, 1), range16=(0, 65535))

PREPROCESSING = Preprocessing(
    height=8,
    width=4,
    interpolation="bilinear",
    modalities={"rgb": NORMAL, "nir": NORMAL, "tir": NORMAL},
)

REFUSED = "an activation of 91234 is beyond <65504>"

COSTS = "int8-vnni costs too much: with it tir loses 0.9 in all, more than 0.5; fp32 instead"


def file(size: int) -> File:
    return File(path="x", sha256="0" * 64, bytes=size)


def bundle_at(root: str) -> Bundle:
    """A bundle that is nowhere, whose FP32 engines have a megabyte each."""
    manifest = Manifest(
        format="denet-bundle",
        schema=SCHEMA,
        tools={},
        checkpoint_sha256="0" * 64,
        model={},
        channels=8,
        feature_size=(1, 1),
        preprocessing=PREPROCESSING,
        engines={
            e: Engine(inputs=(), outputs=(), flops=1, files={"fp32": file(1_000_000)})
            for e in ENGINES
        },
        default_precision="mixed",
        head=HeadSpec(dim=48, normalize=True, affine=None),
        canary=Canary(file=file(1), min_cosine={"fp32": 0.999}),
    )
    return Bundle(Path(root), manifest)


def effect(change: float | None, cosine: float = 0.9987) -> Effect:
    """Of FP32 with 80 % mAP; a mixed fleet loses a tenth of a point more."""
    if change is None:
        return Effect(cosine, cosine - 0.001, 0.95)
    interval = (change - 0.2, change + 0.1)
    after = 80 + change
    return Effect(cosine, cosine - 0.001, 0.95, 80, after, change, interval, after - 0.1, after)


def effects(worst: float | None, engine: str | None = None, cosine: float = 0.9987) -> Effects:
    """State by state less is lost, from `worst` on; nothing where `engine` is not run."""
    found: Effects = {}
    for index, state in enumerate(STATES):
        if engine is not None and engine not in RGB_NIR_TIR.plan(state).engines:
            found[state] = effect(None if worst is None else 0.0, 1.0)
        else:
            found[state] = effect(
                None if worst is None else worst / (1 + index), 1 - (1 - cosine) / (1 + index)
            )
    return found


def an_outcome(*, labelled: bool = True, forms: tuple[Form, ...] = ("int8-vnni",)) -> Outcome:
    """branch_rgb costs too much, branch_tir is slow, cmft_rgb2nir is refused; else all is well."""
    models = {(e, f): bytes(250_000) for e in ENGINES for f in forms}
    refused = {("cmft_rgb2nir", form): REFUSED for form in forms}
    for key in refused:
        del models[key]
    times: dict[str, dict[Form, float]] = {
        e: {"fp32": 2.0, **{f: 0.5 for f in forms if f != "int8-trt" and (e, f) in models}}
        for e in ENGINES
    }
    if "int8-vnni" in forms:
        times["branch_tir"]["int8-vnni"] = 3.25
    left = {"branch_rgb", "branch_tir", "cmft_rgb2nir"}
    mixed: dict[str, Form] = {e: "fp32" if e in left else "int8-vnni" for e in ENGINES}
    whole: dict[str, Form] = {e: "fp32" if e == "cmft_rgb2nir" else "int8-vnni" for e in ENGINES}
    change = -0.34 if labelled else None
    records = tuple(Record(f"r{i}", i // 4, i % 2, {}) for i in range(20))
    preprocess = Preprocessor(PREPROCESSING)
    effects_of = {"int8-vnni": effects(-0.9 if labelled else None, cosine=0.97)} | {
        "mixed-vnni": effects(change)
    }
    alone = {
        key: effects(
            None if not labelled else -0.77 if key == ("branch_rgb", "int8-vnni") else -0.02, key[0]
        )
        for key in models
    }
    return Outcome(
        bundle=bundle_at("/models/<b>demo</b>.denet"),
        request=CalibrationRequest(data=Path("/data/a&b"), platforms=("vnni",), threads=2),
        samples=Samples(
            ChosenSamples(records[:16], COMPLETE, RGB_NIR_TIR, preprocess, "/data/a&b"),
            ChosenSamples(records, COMPLETE, RGB_NIR_TIR, preprocess, "/data/<judge>"),
            labelled,
            (),
        ),
        budget=BUDGET if labelled else 0.01,
        emitted=Emitted(models, refused),
        alone=alone,
        whole=effects_of,
        times=times,
        selections={"vnni": Selection(mixed, effects_of["mixed-vnni"], {"branch_rgb": COSTS})},
        notes=("2 of 20 samples are left out", *Emitted({}, refused).describe_refused()),
        forms={"int8-vnni": whole, "mixed-vnni": mixed},
    )


def shown(table: Table, width: int = 110) -> str:
    console = Console(width=width, file=None, record=True, force_terminal=True)
    with console.capture() as capture:
        console.print(table)
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())


def row(text: str, first: str) -> str:
    return next(line for line in text.splitlines() if re.match(rf"\W+{re.escape(first)} ", line))
