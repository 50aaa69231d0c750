"""What a block is run with that its text does not say: smaller sizes, and the reader's files.

Nothing else is changed in a block. All of it stands here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.bundle.forms import cpu_platforms

TINY = """
[train]
epochs = 1
optimizer = "adamw"
lr = 0.001
warmup = 1
graph_epochs = 0
identities = 2
instances = 2
workers = 0
pretrained = false
[model]
backbone = "timm:test_resnet"
image_size = [32, 16]
cmft_width = 4
dem_channels = 4
"""
"""The reader's `tiny.toml`: a network that trains in seconds."""


@dataclass(frozen=True)
class Smaller:
    """A command, or a line of a file, that is run smaller.

    Attributes:
        pattern: of a line.
        replacement: for what it matches.
        reason: why.
    """

    pattern: re.Pattern[str]
    replacement: str
    reason: str


def _smaller(pattern: str, replacement: str, reason: str) -> Smaller:
    return Smaller(re.compile(pattern), replacement, reason)


PEOPLE = "--identities 24 --cameras 3 --shots 2 --height 64 --width 32"

SMALLER = (
    *(
        ()
        if "vnni" in cpu_platforms()
        else (_smaller("--target vnni", "--target avx2", "what a CPU without VNNI can measure"),)
    ),
    _smaller(
        r"(denet synth \S+)( --(identities|shots) \d+)*",
        rf"\1 {PEOPLE}",
        "fewer people, of whom the network for all of them trains in seconds",
    ),
    _smaller(
        r"(denet init \S+)",
        r"\1 --config tiny.toml",
        "a ResNet-50 takes half a minute to be written and traced",
    ),
    _smaller(
        r"(denet train \S+ --out \S+)( --preset \w+)?( --config \S+)?(?! --resume)(?=\s|$)",
        r"\1 --config tiny.toml",
        "recipes train for minutes or days; `my.toml` itself is read as a recipe",
    ),
    _smaller(
        r"--preset small --seeds 3 --jobs 2", r"--config tiny.toml --seeds 1", "days of training"
    ),
    _smaller(r"denet experiment table1,table2", "denet experiment table2", "a table has a minute"),
    _smaller(
        r"(denet bench [\w-]+\.denet)(?!.* --only)",
        r"\1 --only batches,images --batches 1",
        "all parts are minutes of measuring",
    ),
    _smaller(r"(denet bench [\w-]+\.denet)", r"\1 --rounds 2", "likewise, a hundred runs"),
    _smaller(r"(denet profile [\w-]+\.denet)", r"\1 --rounds 2", "likewise, twenty"),
    _smaller(
        r"--fail-above 1\.10",
        "--fail-above 1000",
        "what else the machine does is not to fail a test",
    ),
    _smaller(
        r"(denet calibrate \S+ DATA.*) --budget 0\.5",
        r"\1 --budget 100",
        "an untrained network ranks by chance, and what INT8 costs is chance as well",
    ),
    _smaller(
        r"--precision int8 --calibration-data DATA",
        r"--precision int8 --calibration-data DATA --budget 100",
        "likewise",
    ),
    _smaller(r"(denet project \S+ \S+) --dim 512", r"\1 --dim 16 --budget 100", "of 512, likewise"),
    _smaller(
        r"--embedding-dim 512", r"--embedding-dim 16 --budget 100", "of 512 numbers, likewise"
    ),
    _smaller(r"--fmr 0\.001", "--fmr 0.1", "a rate of 0.001 wants 30,000 pairs of strangers"),
    _smaller(r"scores\.threshold\(0\.001\)", "scores.threshold(0.1)", "likewise"),
    _smaller(r"^fmr = 0\.0+1\b", "fmr = 0.1", "likewise"),
    _smaller(r"(denet node init .*)", r"\1 --port 0", "another process may have the usual one"),
    _smaller(r"--for 60", "--for 2", "a minute"),
    _smaller(r"^port = \d+", "port = 0", "another process of this machine may have it"),
)


@dataclass(frozen=True)
class Slow:
    """A command that takes long however small it is: only the test marked `slow` runs it. The fast
    one sees that the command is there and takes these arguments."""

    pattern: re.Pattern[str]
    reason: str


SLOW = (
    Slow(re.compile(r"denet (train|eval|report|experiment)\b"), "4 seconds of imports and more"),
    Slow(re.compile(r"denet export\b"), "traces 15 engines: half a minute"),
    Slow(re.compile(r"denet init\b"), "its bundle is only in what is slow"),
    Slow(re.compile(r"\b(one|two)\.(denet|toml)"), "of networks that only what is slow trains"),
    Slow(re.compile(r"denet (bench|profile)\b"), "half a minute, however few rounds"),
    Slow(re.compile(r"denet (calibrate|slim|project)\b"), "half a minute each"),
    Slow(re.compile(r"python (measurements|docs)/"), "measures, or draws what is slow"),
)


def smaller(text: str) -> str:
    """A block as it is run."""
    lines = text.split("\n")
    for entry in SMALLER:
        lines = [entry.pattern.sub(entry.replacement, line) for line in lines]
    return "\n".join(lines)


def is_slow(line: str) -> bool:
    return any(entry.pattern.search(line) for entry in SLOW)
