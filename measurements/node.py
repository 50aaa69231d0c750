"""Whether a node lasts: hours at the highest rate that a machine sustains, and `kill -9`.

    python measurements/node.py soak BUNDLE [--minutes 30] [--rate R] [--plot PNG] [--readings FILE]
    python measurements/node.py kills BUNDLE [--kills 50]

- Soak: drawn persons walk by, three streams from a folder in a loop, with faults at random in all
  three. The rate is raised until something overflows; nine tenths of the last one that did not is
  the rate of the soak. `denet node run` is then read each second: what came, what
  went on, what was dropped and why, resident memory, and the p99 latency of the last 1,000
  embeddings. The slope of memory, after a third of the time and in the last quarter, is that of a
  line through its means by block, with the 95 % interval of Student's t over the blocks.
- Kills: a node with a gallery and a broker is killed (SIGKILL) at random moments while people are
  enrolled in the same process, and sometimes the broker is away. Then: does the gallery open, is
  every enrolment there that was acknowledged, and does the broker get the events of every run from
  the first on without a gap, none twice by id? Needs mosquitto (Debian's package).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from composed import processor
from health import walks
from PIL import Image
from process_memory import resident
from scipy import stats

from denet.data.synthetic import SyntheticConfig, World
from denet.graph import RGB_NIR_TIR
from runtime import Bundle
from runtime.gallery import Enrolment, Space, open_gallery
from runtime.node import Node, read_settings

ROOT = Path(__file__).parents[1]
FOLDERS = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
MOMENTS = 400
PROBE = 20.0
BLOCKS = 24
FAULTS = "seed=1;every=250"


def recording(folder: Path) -> Path:
    """Persons who walk by, two of them, in RGBNT's layout."""
    world = World(SyntheticConfig(identities=4))
    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True)
    for number, images in enumerate(islice(walks(world), MOMENTS)):
        for m, pixels in images.items():
            Image.fromarray(pixels).save(folder / FOLDERS[m] / f"{number:06}.png", compress_level=1)
    return folder


def config(folder: Path, bundle: Path, images: Path, rate: float, more: str = "") -> Path:
    sources = "".join(
        f'[sources.{m}]\nurl = "folder:{images}"\nrate = {rate}\nloop = true\n' for m in FOLDERS
    )
    model = f'[model]\nbundle = "{bundle.resolve()}"\n'
    # As docs/node.md has it: less than half a period, and more than one.
    timing = f"[timing]\ntolerance = {0.4 / rate:.5f}\npatience = {max(0.05, 2 / rate):.3f}\n"
    path = folder / "node.toml"
    path.write_text(f'name = "bench"\n{model}{sources}{timing}{more}')
    return path


# Soak


def node_run(path: Path, seconds: float, *options: str) -> list[dict[str, Any]]:
    """What `denet node run` tells each second, with the memory that it takes (MB) then."""
    command = [sys.executable, str(ROOT / "cli.py"), "node", "run", str(path), "--json"]
    command += ["--for", str(seconds), *options]
    told = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            rss = resident(child.pid) or float("nan")  # none is held by what has ended
            told.append({**json.loads(line), "rss": rss})
    if child.returncode:
        raise SystemExit(f"the node ended with {child.returncode}")
    return told


def accounts(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {**facts["frames"], "triplets": facts["triplets"], "crops": facts["crops"]}


def sustained(facts: dict[str, Any], rate: float) -> bool:
    """Whether all that was due came, but for what faults take away, and nothing overflowed."""
    due = rate * facts["running"]
    overflown = sum(
        account["dropped"].get(why, 0)
        for account in accounts(facts).values()
        for why in ("overflow", "overrun")
    )
    came = min(account["entered"] for account in facts["frames"].values())
    return overflown == 0 and came >= 0.93 * (due - rate)


def highest_rate(folder: Path, bundle: Path, images: Path) -> float:
    """Triplets a second that are sustained."""
    best, rate, step = 0.0, 25.0, 2.0
    while step > 1.05:
        told = node_run(config(folder, bundle, images, rate), PROBE, "--inject", FAULTS)
        good = sustained(told[-2], rate)
        print(f"  {rate:.1f} triplets/s: {'sustained' if good else 'too many'}")
        if good:
            best = rate
        else:
            step **= 0.5
        rate = max(best, 1.0) * step
        if not best and not good:
            raise SystemExit("not even the first rate is sustained here")
    return best


def slope(minutes: Any, values: Any) -> tuple[float, float, float]:
    """MB an hour, and its 95 % interval."""
    blocks = np.array_split(np.arange(len(values)), min(BLOCKS, len(values) // 2))
    x = np.array([minutes[b].mean() for b in blocks]) / 60
    y = np.array([values[b].mean() for b in blocks])
    line = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.975, len(x) - 2)) * line.stderr
    return float(line.slope), float(line.slope - reach), float(line.slope + reach)


def soak(
    bundle: Path, minutes: float, rate: float | None, plot: Path | None, readings: Path | None
) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        images = recording(folder / "images")
        chosen = rate or round(0.9 * highest_rate(folder, bundle, images), 1)
        lines = f'[events.lines]\npath = "{folder}/events.jsonl"\nmax_bytes = 20000000\n'
        path = config(folder, bundle, images, chosen, lines)
        told = node_run(path, 60 * minutes, "--inject", FAULTS)
    judge(told, chosen)
    if readings is not None:
        readings.write_text("".join(json.dumps(facts) + "\n" for facts in told))
    if plot is not None:
        draw(told, plot)


def judge(told: list[dict[str, Any]], rate: float) -> None:
    end = told[-1]
    print(f"{end['running'] / 60:.1f} min at {rate:g} triplets/s, {end['bundle']}")
    wrong = 0
    for facts in told:
        for account in accounts(facts).values():
            gone = account["left"] + sum(account["dropped"].values()) + account["held"]
            wrong += gone != account["entered"]
    print(f"  moments at which an account did not balance: {wrong} of {5 * len(told)}")
    for what, account in accounts(end).items():
        gone = ", ".join(f"{why} {n}" for why, n in account["dropped"].items()) or "nothing"
        print(f"  {what}: {account['entered']} in, {account['left']} on, dropped: {gone}")
    for name, sink in end["events"].items():
        print(f"  events to {name}: {sink}")
    living = [facts for facts in told[:-1] if np.isfinite(facts["rss"])]
    running = np.array([facts["running"] / 60 for facts in living])
    after = running > running[-1] / 3
    rss = np.array([facts["rss"] for facts in living])
    late = running > running[-1] * 3 / 4
    for part, named in ((after, "after a third"), (late, "in the last quarter")):
        per_hour, low, high = slope(running[part], rss[part])
        print(
            f"  memory {named} of the time: {rss[part].mean():.0f} MB, slope {per_hour:+.2f} MB/h "
            f"(95 %: {low:+.2f} to {high:+.2f})"
        )
    p99 = np.array([facts["latency"]["p99"] or np.nan for facts in living])[after] * 1e3
    first, last = np.array_split(p99, 2)
    print(
        f"  p99 latency, median over time: {np.nanmedian(p99):.0f} ms; first half "
        f"{np.nanmedian(first):.0f}, second {np.nanmedian(last):.0f}; "
        f"least {np.nanmin(p99):.0f}, most {np.nanmax(p99):.0f}"
    )


def draw(told: list[dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt

    told = told[:-1]
    minutes = [facts["running"] / 60 for facts in told]
    figure, axes = plt.subplots(4, 1, figsize=(8, 9), sharex=True, layout="constrained")
    for what, name in (("triplets", "entered"), ("crops", "left")):
        counts = np.array([facts[what][name] for facts in told], float)
        seconds = np.array([facts["running"] for facts in told])
        label = "triplets" if what == "triplets" else "embeddings"
        axes[0].plot(minutes[1:], np.diff(counts) / np.diff(seconds), label=label, linewidth=0.7)
    axes[0].set_ylabel("a second")
    axes[0].legend(loc="lower right")
    axes[0].set_ylim(bottom=0)
    healthy = [3 - sum(s["fault"] is not None for s in facts["sensors"].values()) for facts in told]
    axes[1].plot(minutes, healthy, drawstyle="steps-post", linewidth=0.7)
    axes[1].set_ylabel("healthy sensors")
    axes[1].set_yticks([0, 1, 2, 3])
    axes[2].plot(minutes, [facts["rss"] for facts in told], linewidth=0.9)
    axes[2].set_ylabel("resident memory, MB,\nnot from zero")
    axes[3].plot(minutes, [1e3 * (f["latency"]["p50"] or np.nan) for f in told], label="p50")
    axes[3].plot(minutes, [1e3 * (f["latency"]["p99"] or np.nan) for f in told], label="p99")
    axes[3].set_ylabel("latency, ms")
    axes[3].set_ylim(bottom=0)
    axes[3].legend(loc="upper left")
    axes[3].set_xlabel("minutes")
    figure.savefig(path, dpi=120)
    print(f"{path}: written")


# Kills


def child(path: Path, gallery: str, run: int) -> None:
    """A node that runs while people are enrolled; tells of each that is."""
    settings = read_settings(path)
    space = Space.of(Bundle.open(settings.model.bundle).manifest)
    chance = np.random.default_rng(run)
    node = Node(settings, notify=lambda _line: None)
    node.start()
    print("running", flush=True)
    with open_gallery(gallery) as opened:
        for number in range(1_000_000):
            vector = chance.standard_normal(space.dim).astype(np.float32)
            vector /= np.linalg.norm(vector)
            opened.enrol(
                space, [Enrolment(f"{run}-{number}", RGB_NIR_TIR.states[number % 7], vector)]
            )
            print(f"{run}-{number}", flush=True)
            time.sleep(0.01)


def kills(bundle: Path, count: int) -> None:
    sys.path.insert(0, str(ROOT))
    from tests.runtime.node.broker import Broker, Receiver
    from tests.runtime.node.waiting import until

    chance = random.Random(0)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        gallery = f"file:{folder}/gallery.db"
        with open_gallery(gallery, create=True):
            pass
        images = recording(folder / "images")
        with Broker(folder) as broker, closing(Receiver(broker.port)) as receiver:
            mqtt = f'url = "mqtt://127.0.0.1:{broker.port}"\noutbox = "{folder}/outbox.db"\n'
            more = f'[gallery]\nurl = "{gallery}"\nthreshold = 0.6\n[events.mqtt]\n{mqtt}'
            path = config(folder, bundle, images, 10.0, more)
            told: list[str] = []
            for run in range(count):
                away = chance.random() < 0.3
                if away:
                    broker.kill()
                told += run_and_kill(path, gallery, run, chance.uniform(0.0, 2.0))
                if away:
                    broker.start()
                    receiver.wait()
                with open_gallery(gallery) as opened:
                    there = {entry.identity for entry in opened.entries()}
                lost = set(told) - there
                if lost:
                    raise SystemExit(f"run {run}: acknowledged, and not there: {sorted(lost)}")
            node = Node(read_settings(path), notify=lambda _line: None)
            node.start()
            (counters,) = node.snapshot().events
            print(f"{count} kills; {counters.carried} events were left to the last run")
            until(lambda: node.snapshot().events[0].waiting == 0, 120)
            last = node.close()
            until(lambda: last.events[0].delivered <= len(receiver.events), 30)
        print(f"  the gallery opened each time; acknowledged enrolments: {len(told)}, lost: 0")
        runs: dict[str, list[int]] = {}
        for event in receiver.ids:
            begun, _, number = event.rpartition("-")
            runs.setdefault(begun, []).append(int(number))
        whole = sum(numbers == list(range(1, len(numbers) + 1)) for numbers in runs.values())
        print(f"  {len(receiver.ids)} events of {len(runs)} runs; without a gap: {whole} runs")
        print(f"  arrived twice, to be dropped by id: {len(receiver.events) - len(receiver.ids)}")


def run_and_kill(path: Path, gallery: str, run: int, seconds: float) -> list[str]:
    """The names whose enrolment was acknowledged before the kill."""
    command = [sys.executable, __file__, "child", str(path), gallery, str(run)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "running\n":
            raise SystemExit(f"run {run}: the node did not start")
        threading.Timer(seconds, os.kill, (process.pid, signal.SIGKILL)).start()
        lines = process.stdout.read().splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    lasting = commands.add_parser("soak")
    lasting.add_argument("bundle", type=Path)
    lasting.add_argument("--minutes", type=float, default=30.0)
    lasting.add_argument("--rate", type=float, help="triplets a second; found out without it")
    lasting.add_argument("--plot", type=Path)
    lasting.add_argument("--readings", type=Path, help="JSON lines: what was read each second")
    killing = commands.add_parser("kills")
    killing.add_argument("bundle", type=Path)
    killing.add_argument("--kills", type=int, default=50)
    one = commands.add_parser("child")
    one.add_argument("config", type=Path)
    one.add_argument("gallery")
    one.add_argument("run", type=int)
    wanted = parser.parse_args()
    if wanted.command == "child":
        child(wanted.config, wanted.gallery, wanted.run)
        return
    print(processor())
    if wanted.command == "soak":
        soak(wanted.bundle, wanted.minutes, wanted.rate, wanted.plot, wanted.readings)
    else:
        kills(wanted.bundle, wanted.kills)


if __name__ == "__main__":
    main()
