"""What the health of sensors finds and misses, on drawn persons with faults at random.

    python measurements/health.py [--frames 20000] [--seed 0] [--roadscene FOLDER]

Persons walk before drawn cameras, 200 moments each, at 25 Hz; each of the three streams gets
faults of its own at random (`runtime.node.faults`), goes through the synchronizer, and is judged.
Then the same without faults: by night, after coding as H.264, and on real frames where a folder
with `RGB` and `TI` is given. A moment is left out of "the state is right" while the documented
hysteresis of one of its sensors lasts. The result is Markdown, for docs/node.md.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic import SyntheticConfig, World
from denet.graph import RGB_NIR_TIR, Modality
from runtime.machine import read_machine
from runtime.node.faults import EFFECTS, FaultSettings, Injector, Truth
from runtime.node.health import Assessment, Health, Limits
from runtime.node.sources import Frame, Synchronizer, Triplet
from runtime.node.sources.folder import Recording, read_pixels

Image = NDArray[Any]
Images = dict[Modality, Image]

PERIOD = 0.04
SCENE = 200
DELAYS: dict[Modality, float] = {"rgb": 0.020, "nir": 0.023, "tir": 0.027}
LIMITS = Limits()


def walks(world: World, night: bool | None = None) -> Iterator[Images]:
    """Triplets of persons who walk by, for ever; by night or by day alone where that is asked."""
    for identity in range(1, 1_000_000):
        camera = identity % world.config.cameras
        shot = next(
            s for n in range(1000) if night in (None, (s := world.shot(identity, camera, n)).night)
        )
        person = world.person(identity)
        for i in range(SCENE):
            phase = shot.pose.phase + 2 * np.pi * 0.9 * i * PERIOD
            noise = (shot.noise + i) % 2**32
            seen = replace(shot, pose=replace(shot.pose, phase=float(phase)), noise=noise)
            yield {m: np.asarray(x) for m, x in world.render(person, camera, seen).items()}


@dataclass
class Score:
    """Of each kind of fault: what was found, and when."""

    episodes: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)  # after the documented delay
    flagged: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    delays: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Follower:
    """Knows for each moment whether the hysteresis of a sensor lasts, and scores its faults."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.settling = 0  # good frames until it must be healthy again
        self.lasted = 0
        self.open: tuple[str, bool] | None = None  # the fault that lasts; whether it was found

    def allows(self, truth: Truth) -> bool:
        """Whether the documented hysteresis excuses a wrong verdict; ask before `see`."""
        if truth.kind is None:
            return self._settles() > 1
        # The first picture that is coded anew is a new picture.
        unknown = LIMITS.repeat_frames - (truth.kind != "frozen, coded anew")
        return truth.fault in ("frozen", "looping") and truth.since < unknown

    def _settles(self) -> int:
        """The good frame, counted from now, at which it must be healthy."""
        return self.settling if self.open is None else min(self.lasted, LIMITS.recovery_frames)

    def see(self, truth: Truth, fault: str | None) -> None:
        """Take in a moment: the truth, and the fault that was found."""
        score, kind = self.score, truth.kind
        if kind is None:
            self.settling = max(self._settles() - 1, 0)
            self.open = None
            return
        if self.open is None or truth.since == 0:
            score.episodes[kind] += 1
            self.open = (kind, False)
        self.lasted = truth.since + 1
        if fault is not None and not self.open[1]:
            self.open = (kind, True)
            score.found[kind] += 1
            score.delays[kind].append(truth.since)
        if not self.allows(truth):
            score.frames[kind] += 1
            score.flagged[kind] += fault is not None
            score.named[kind] += fault == truth.fault


def synchronized(
    moments: Iterable[Images],
    injectors: dict[Modality, Injector],
    truths: dict[int, dict[Modality, Truth]],
) -> Iterator[tuple[Triplet, float]]:
    """The triplets of a recording, each with the time at which it is given out."""
    synchronizer = Synchronizer(RGB_NIR_TIR.modalities)
    for tick, images in enumerate(moments):
        at = 10 + tick * PERIOD
        for m, image in images.items():
            seen, truth = injectors[m](Frame(m, at, image, tick))
            truths[tick][m] = truth
            now = at + DELAYS[m]
            if seen is not None:
                synchronizer.push(seen, now)
            yield from ((t, now) for t in synchronizer.poll(now))
    yield from ((t, at + 1) for t in synchronizer.flush(at + 1))
    received, dropped = synchronizer.received, synchronizer.dropped
    for m in RGB_NIR_TIR.modalities:
        lost = sum(count for (modality, _), count in dropped.items() if modality == m)
        assert received[m] == synchronizer.used[m] + lost, "a frame is unaccounted for"
        reasons = {reason: n for (modality, reason), n in dropped.items() if modality == m}
        print(
            f"{m}: {received[m]} frames in, {synchronizer.used[m]} in triplets, dropped {reasons}"
        )


def with_faults(world: World, frames: int, seed: int) -> None:
    settings = FaultSettings(seed=seed)
    injectors = {m: Injector(m, settings) for m in RGB_NIR_TIR.modalities}
    truths: dict[int, dict[Modality, Truth]] = defaultdict(dict)
    health, score = Health(RGB_NIR_TIR.modalities), Score()
    diagnoses: dict[int, Assessment] = {}
    costs: list[float] = []
    strays = 0
    moments = (images for images, _ in zip(walks(world), range(frames), strict=False))
    for triplet, now in synchronized(moments, injectors, truths):
        began = time.perf_counter()
        diagnosis = health.judge(triplet, now)
        costs.append((time.perf_counter() - began) / len(RGB_NIR_TIR.modalities))
        tick = (triplet.time - 10) / PERIOD
        if abs(tick - round(tick)) < 0.1:
            diagnoses[round(tick)] = diagnosis
        else:
            strays += 1  # the first frame of a sensor out of step, which stands alone
    followers = {m: Follower(score) for m in RGB_NIR_TIR.modalities}
    counts: Counter[str] = Counter()
    for tick in sorted(truths):
        excused = [m for m in RGB_NIR_TIR.modalities if followers[m].allows(truths[tick][m])]
        healthy = [m for m in RGB_NIR_TIR.modalities if truths[tick][m].kind is None]
        found = diagnoses.get(tick)
        right = (found.state if found else None) == (
            RGB_NIR_TIR.state(healthy) if healthy else None
        )
        counts["moments"] += 1
        counts["right"] += right
        counts["no triplet"] += found is None
        counts["nobody healthy"] += not healthy
        if not excused:
            counts["judged"] += 1
            counts["judged right"] += right
        for m in RGB_NIR_TIR.modalities:
            fault = "absent" if found is None else found.verdicts[m].fault
            if truths[tick][m].kind is None and m not in excused and found is not None:
                counts["good frames"] += 1
                counts["false alarms"] += fault is not None
                counts[f"false: {m} {fault}"] += fault is not None
            followers[m].see(truths[tick][m], fault)
    report(score, counts, strays)
    print(f"\nTime per frame of {world.config.width}x{world.config.height}: {spread(costs)}")


def report(score: Score, counts: Counter[str], strays: int) -> None:
    print(
        f"\n{counts['moments']} moments, {counts['right'] / counts['moments']:.2%} with the right "
        f"state; outside of the hysteresis {counts['judged']}, "
        f"**{counts['judged right'] / counts['judged']:.2%}** right. "
        f"No sensor was healthy in {counts['nobody healthy']}; {counts['no triplet']} gave no "
        f"triplet; {strays} triplets of single frames out of step. False alarms: "
        f"{counts['false alarms']} of {counts['good frames']} good frames "
        f"({counts['false alarms'] / counts['good frames']:.2%}): "
        f"{ {k[7:]: n for k, n in counts.items() if k.startswith('false: ') and n} }.\n"
    )
    print(
        "| fault | times | found | delay in frames: median, most | frames flagged | by its name |"
    )
    print("|---|---|---|---|---|---|")
    for kind in EFFECTS:
        times, frames = score.episodes[kind], score.frames[kind]
        if times:
            delays = score.delays[kind] or [0]
            print(
                f"| {kind} | {times} | {score.found[kind] / times:.1%} | "
                f"{statistics.median(delays):g}, {max(delays)} | "
                f"{score.flagged[kind] / max(frames, 1):.1%} of {frames} | "
                f"{score.named[kind] / max(frames, 1):.1%} |"
            )


def without_faults(name: str, moments: Iterable[dict[Modality, Image]], limits: Limits) -> None:
    """A line on the false alarms in streams that are well."""
    moments = list(moments)
    modalities = tuple(moments[0])
    health = Health(modalities, dict.fromkeys(modalities, limits))
    wrong: Counter[str] = Counter()
    for tick, images in enumerate(moments):
        at = tick * PERIOD
        frames = {m: Frame(m, at, image, tick) for m, image in images.items()}
        for m, verdict in health.judge(Triplet(at, frames, {}), at).verdicts.items():
            if verdict.fault:
                wrong[f"{m} {verdict.fault}"] += 1
    total = len(moments) * len(modalities)
    share = f"{wrong.total()} ({wrong.total() / total:.2%})"
    print(f"| {name} | {total} | {share} | {dict(wrong) or ''} |", flush=True)


def coded(moments: list[Images], quality: int) -> list[Images]:
    """The moments after H.264 at a constant quality, a key frame every second."""
    import av

    out: list[Images] = [{} for _ in moments]
    for m in RGB_NIR_TIR.modalities:
        buffer, colour = io.BytesIO(), m == "rgb"
        with av.open(buffer, "w", format="matroska") as writer:
            stream = writer.add_stream("libx264", rate=25)
            height, width = moments[0][m].shape[:2]
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.options = {"crf": str(quality), "g": "25", "tune": "zerolatency"}
            for images in moments:
                form = "rgb24" if colour else "gray"
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(images[m]), format=form)
                writer.mux(stream.encode(picture))
            writer.mux(stream.encode(None))
        with av.open(io.BytesIO(buffer.getvalue())) as reader:
            for i, picture in enumerate(reader.decode(video=0)):
                out[i][m] = picture.to_ndarray(format="rgb24" if colour else "gray")
    return out


def frozen_before_coding(live: list[Images], quality: int) -> None:
    """A line on cameras that freeze and go on coding: of 3 streams for each of 5 scenes, how many
    are found, and after how many frames."""
    delays: list[int] = []
    for scene in range(5):
        start = live[scene * SCENE : scene * SCENE + 100]
        moments = coded([*start, *[start[-1]] * 250], quality)
        for m in RGB_NIR_TIR.modalities:
            health = Health([m])
            for tick, images in enumerate(moments):
                frame = Frame(m, tick * PERIOD, images[m], tick)
                verdict = health.judge(Triplet(frame.time, {m: frame}, {}), frame.time).verdicts[m]
                if tick >= len(start) and verdict.fault == "frozen":
                    delays.append(tick - len(start))
                    break
    median = f"{statistics.median(delays):g}, {max(delays)}" if delays else "-"
    print(f"| {quality} | {len(delays)} of 15 | {median} |", flush=True)


def panned(root: Path) -> Iterator[dict[Modality, Image]]:
    """Each real frame as a film: a camera that turns slowly, with a little noise."""
    chance = np.random.default_rng(0)
    for sample in Recording(root, 25).samples:
        whole = {m: read_pixels(path) for m, path in sample.files.items()}
        height, width = next(iter(whole.values())).shape[:2]
        for i in range(SCENE):
            left = round((width - 384) * (0.5 - 0.5 * np.cos(np.pi * i / SCENE)))
            top = (height - 256) // 2
            part = {m: x[top : top + 256, left : left + 384] for m, x in whole.items()}
            yield {
                m: np.clip(x + chance.normal(0, 1.5, x.shape), 0, 255).astype(np.uint8)
                for m, x in part.items()
            }


def spread(costs: list[float]) -> str:
    micro = sorted(1e6 * cost for cost in costs)
    return (
        f"median {micro[len(micro) // 2]:.0f} us, 99th per cent {micro[-len(micro) // 100]:.0f} us"
    )


def full_size() -> None:
    """The time on frames of a camera: 1920x1080 in colour, each elsewhere in memory."""
    chance = np.random.default_rng(0)
    images = [chance.integers(0, 256, (1080, 1920, 3), dtype=np.uint8) for _ in range(24)]
    health, costs = Health(["rgb"]), []
    for tick in range(1000):
        frame = Frame("rgb", tick * PERIOD, images[tick % 24][:, :: (-1) ** (tick // 24)], tick)
        began = time.perf_counter()
        health.judge(Triplet(frame.time, {"rgb": frame}, {}), frame.time)
        costs.append(time.perf_counter() - began)
    print(f"\nTime per frame of 1920x1080 in colour: {spread(costs)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20_000, help="moments with faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--roadscene", type=Path, help="real frames, in RGB and TI")
    chosen = parser.parse_args()
    cpu = read_machine().cpu
    print(f"{cpu.model}, {cpu.threads} threads\n")
    world = World(SyntheticConfig(seed=chosen.seed))
    with_faults(world, chosen.frames, chosen.seed)
    full_size()

    print("\n| without faults | frames | false alarms | which |\n|---|---|---|---|")
    night = [images for images, _ in zip(walks(world, night=True), range(10 * SCENE), strict=False)]
    without_faults("night shots, walking", night, LIMITS)
    without_faults("night shots, each another", night[:: SCENE // 20], LIMITS)
    day = [images for images, _ in zip(walks(world, night=False), range(5 * SCENE), strict=False)]
    for quality in (18, 23, 28, 33):
        without_faults(f"day, H.264 at CRF {quality}", coded(day, quality), LIMITS)
        without_faults(f"night, H.264 at CRF {quality}", coded(night[: 5 * SCENE], quality), LIMITS)
    print("\n| CRF | frozen streams found | delay in frames: median, most |\n|---|---|---|")
    for quality in (18, 23, 28, 33):
        frozen_before_coding(day, quality)
    if chosen.roadscene:
        print("\n| without faults | frames | false alarms | which |\n|---|---|---|---|")
        limits = Limits(any_size=True)
        single = [
            {m: read_pixels(path) for m, path in sample.files.items()}
            for sample in Recording(chosen.roadscene, 25).samples
        ]
        without_faults("real frames, one after the other", single, limits)
        without_faults("real frames, panned, with noise", panned(chosen.roadscene), limits)


if __name__ == "__main__":
    main()
