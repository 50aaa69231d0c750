"""Shows the status page with pictures of docs/samples, and draws docs/status.png of it.

    python docs/status.py [--serve] [--dark] [--width 1100] [--height 850] [--out docs/status.png]

Needs chromium, unless it only serves.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from denet.folders import folder_of
from denet.graph import RGB_NIR_TIR
from runtime.node.events import EventMatch
from runtime.node.health import Verdict
from runtime.node.status import HeadShown, Seen, StatusPage, StatusSettings, StatusSnapshot

SAMPLES = Path(__file__).parent / "samples"
NAME = "000002_cam1_0_00.jpg"


def demo() -> StatusSnapshot:
    """A node whose near-infrared sensor is stuck."""
    graph = RGB_NIR_TIR
    state = graph.parse("rgb+tir")
    now = time.time()
    seen = [
        (4, state, "alice", 4.31, 5e-5),
        (19, state, "000017", 3.12, 8e-4),
        (65, graph.complete, "alice", 4.6, 2.5e-5),
        (66, graph.complete, "visitor, north entrance", 2.7, 2e-3),
    ]
    return StatusSnapshot(
        node="gate-3",
        time=now,
        heads=[
            HeadShown(
                name="",
                verdicts={
                    "rgb": Verdict("rgb", None, ""),
                    "nir": Verdict("nir", "frozen", "the same picture for 212 frames"),
                    "tir": Verdict("tir", None, ""),
                },
                frames={
                    m: np.asarray(Image.open(SAMPLES / folder_of(m) / NAME))
                    for m in graph.modalities
                },
                state=state,
                plan={
                    call.engine: "int8" if call.engine.startswith("branch") else "fp16"
                    for call in graph.plan(state).calls
                },
            )
        ],
        latency_p50=14.2,
        latency_p99=21.7,
        matches=[
            Seen(
                now - ago,
                where,
                EventMatch(identity=who, score=score, cosine=0.7, false_match_rate=rate),
            )
            for ago, where, who, score, rate in seen
        ],
        counters={
            "triplets": 184_211,
            "embeddings": 20_934,
            "frames dropped: overflow": 12,
            "events to mqtt": 20_934,
            "events waiting": 0,
            "bundle swaps": 1,
        },
        bundle="model.denet (3f8a1c20)",
        backend="ort-cpu",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="until Ctrl-C")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1100)
    parser.add_argument("--height", type=int, default=850)
    parser.add_argument("--out", type=Path, default=SAMPLES.parent / "status.png")
    wanted = parser.parse_args()
    page = StatusPage(StatusSettings(port=0))
    page.start()
    page.update(demo())
    if wanted.serve:
        print(page.url)
        threading.Event().wait()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("needs chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                chromium,
                "--headless",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--hide-scrollbars",
                f"--blink-settings=preferredColorScheme={0 if wanted.dark else 1}",
                f"--user-data-dir={folder}",
                f"--window-size={wanted.width},{wanted.height}",
                "--virtual-time-budget=3000",
                f"--screenshot={wanted.out.absolute()}",
                page.url,
            ],
            check=True,
            capture_output=True,
            timeout=100,
        )
    page.close()
    Image.open(wanted.out).convert("RGB").save(wanted.out, optimize=True)
    print(f"{wanted.out}: {wanted.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
