"""Tracks on drawn recordings: how well people are followed, and what pooling gains.

    python measurements/tracks.py BUNDLE DATA SCORES [--recordings 4] [--seconds 60] [--people 6]

DATA is a set of people that the bundle was not trained on and SCORES was not measured on (`denet
synth DATA --identities 48 --shots 8 --seed 11`); SCORES is a file of `denet gallery calibrate`.
Following: HOTA, IDF1, MOTA, switches and fragments by TrackEval, of ByteTrack by the package
`trackers`, of the node's tracker on boxes alone, of its tracks, and of the persons that they are
said to be. Needs the extra `peers`. Pooling: mAP and R1 of single crops against pooled ones, in
each state, of sightings of which some are small, cut or hidden; and who is known again by the same
camera from half of the shots to the other, and how many strangers are, at a false-match rate of
0.01. The result is Markdown, for docs/tracks.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision
from composed import processor
from numpy.typing import NDArray
from street import HEIGHT, RATE, WIDTH, Scene, opened, recording
from trackers import ByteTrackTracker
from trackeval.metrics import CLEAR, HOTA, Identity

from denet.data.records import Record, open_data
from denet.graph import State
from denet.metrics import rank
from denet.testset import all_samples, open_split
from runtime import Runtime
from runtime.gallery import Scores, Space, read_scores
from runtime.node.announcer import Announcer, Sighting
from runtime.node.boxes.box import Box
from runtime.node.boxes.cropping import crops
from runtime.node.boxes.overlap import overlaps
from runtime.node.events import Event
from runtime.node.stage_items import Crop, Moment, Wanted
from runtime.node.tracks.likeness import Likeness
from runtime.node.tracks.pooling import Pooled
from runtime.node.tracks.quality import quality
from runtime.node.tracks.settings import TrackSettings
from runtime.node.tracks.tracker import Tracker, corners
from runtime.node.tracks.tracks import Tracks

Answer = list[tuple[str, Box]]
"""Of a moment: who is where."""

FMR = 0.01

HALVES = 0, 1


class Nowhere:
    """A sink that keeps the number of events."""

    def __init__(self) -> None:
        self.count = 0

    def publish(self, _event: Event) -> None:
        self.count += 1


def bytetrack(scenes: Sequence[Scene]) -> list[Answer]:
    """The package's, told its rate and the thresholds that the node's has."""
    tracker = ByteTrackTracker(
        lost_track_buffer=60,
        frame_rate=RATE,
        track_activation_threshold=0.5,
        minimum_iou_threshold=0.2,
        high_conf_det_threshold=0.5,
    )
    answers = []
    for scene in scenes:
        boxes = np.array([corners(d.box) for d in scene.found]).reshape(-1, 4)
        scores = np.array([d.score for d in scene.found])
        told = tracker.update(
            supervision.Detections(boxes.astype(np.float32), confidence=scores),
            timestamp=scene.time,
        )
        answers.append(
            [
                (str(name), Box(*map(float, box)))
                for name, box in zip(told.tracker_id, told.xyxy, strict=True)
                if name >= 0
            ]
        )
    return answers


def boxes_alone(scenes: Sequence[Scene]) -> list[Answer]:
    """The node's tracker, without any embedding."""
    tracker, settings = Tracker(TrackSettings()), TrackSettings()
    answers = []
    for scene in scenes:
        owners = tracker.update(scene.time, scene.found) if scene.state else [None] * 0
        for tracklet in list(tracker.tracklets):
            if scene.time - tracklet.seen > settings.lost:
                tracker.remove(tracklet)
        answers.append(
            [
                (str(owner.id), each.box)
                for owner, each in zip(owners, scene.found, strict=True)
                if owner is not None and owner.confirmed
            ]
        )
    return answers


def tracks(
    scenes: Sequence[Scene], runtime: Runtime, scores: Scores
) -> tuple[list[Answer], list[Answer], dict[str, int]]:
    """What the node makes of it: by tracks, by persons, and what is counted."""
    sink = Nowhere()
    announcer = Announcer("street", sink, "float16", lambda _line: None)
    likeness = Likeness(scores, scores.threshold(FMR), FMR)
    size = runtime.bundle.manifest.preprocessing
    made = Tracks(
        TrackSettings(), announcer, (size.width, size.height), likeness, "float16", _ignore
    )
    space = Space.of(runtime.bundle.manifest)
    rows: list[list[tuple[Any, Box]]] = []
    waiting: list[Crop] = []
    for scene in scenes:
        if waiting:  # embedded a moment later
            made.embedded(waiting, _embedded(waiting, runtime, space), likeness)
            waiting = []
        if scene.state is None:
            made.wait(scene.time)
            rows.append([])
            continue
        images = [crops(scene.frames, each.box, None) for each in scene.found]
        moment = Moment(scene.time, {}, {})
        answers = made.see(moment, scene.found, images, (WIDTH, HEIGHT))
        for answer, cut, each in zip(answers, images, scene.found, strict=True):
            if isinstance(answer, Wanted) and not isinstance(cut, str):
                waiting.append(Crop(scene.time, cut, each.box, {}, answer))
        of_box = {id(t.tracklet.box): t for t in made._tracks.values() if t.tracklet.present}
        rows.append([(of_box[id(d.box)], d.box) for d in scene.found if id(d.box) in of_box])
    made.finish()
    taken = made.snapshot()
    counts = {
        "embedded": taken.embedded,
        "events": sink.count,
        "resumed": taken.resumed,
        "exchanged": taken.exchanged,
        "returned": taken.returned,
    }
    by_track = [[(track.id, box) for track, box in row] for row in rows]
    by_person = [[(track.person or track.id, box) for track, box in row] for row in rows]
    return by_track, by_person, counts


def _embedded(waiting: Sequence[Crop], runtime: Runtime, space: Space) -> list[Sighting]:
    vectors = np.concatenate(
        [
            runtime.embed_batch([c.images for c in waiting[i : i + runtime.max_batch]])
            for i in range(0, len(waiting), runtime.max_batch)
        ]
    )
    return [
        Sighting(c.time, runtime.graph.state(c.images), {}, c.box, v, None, space, "", {})
        for c, v in zip(waiting, vectors, strict=True)
    ]


def _ignore(_sighting: object, _match: object) -> None:
    pass


def judged(scenes: Sequence[Scene], answers: Sequence[Answer]) -> dict[str, float]:
    """By TrackEval."""
    people, names = _Numbers(), _Numbers()
    data: dict[str, Any] = defaultdict(list)
    for scene, answer in zip(scenes, answers, strict=True):
        data["gt_ids"].append(np.array([people(p) for p in scene.truth], int))
        data["tracker_ids"].append(np.array([names(n) for n, _ in answer], int))
        there = np.array([corners(box) for _, box in answer]).reshape(-1, 4)
        rows = [overlaps(corners(box), there) for box in scene.truth.values()]
        data["similarity_scores"].append(np.array(rows).reshape(len(rows), len(there)))
    data["num_timesteps"] = len(scenes)
    data["num_gt_ids"], data["num_tracker_ids"] = len(people), len(names)
    data["num_gt_dets"] = sum(map(len, data["gt_ids"]))
    data["num_tracker_dets"] = sum(map(len, data["tracker_ids"]))
    hota = HOTA().eval_sequence(data)
    identity = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    return {
        "HOTA": 100 * float(np.mean(hota["HOTA"])),
        "AssA": 100 * float(np.mean(hota["AssA"])),
        "IDF1": 100 * float(identity["IDF1"]),
        "MOTA": 100 * float(clear["MOTA"]),
        "switches": float(clear["IDSW"]),
        "fragments": float(clear["Frag"]),
        "ids": float(len(names)),
    }


class _Numbers(dict[Any, int]):
    def __call__(self, key: Any) -> int:
        return self.setdefault(key, len(self))


def following(args: argparse.Namespace, runtime: Runtime, scores: Scores) -> None:
    by_camera: dict[int, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in _records(args.data):
        by_camera[record.camera][record.identity].append(record)
    sums: dict[str, list[dict[str, float]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    seconds = 0.0
    for number in range(args.recordings):
        camera = sorted(by_camera)[number % len(by_camera)]
        chance = np.random.default_rng(number)
        known = sorted(by_camera[camera])
        chosen = chance.choice(known, args.people, replace=False)
        shots = {int(p): by_camera[camera][int(p)] for p in chosen}
        scenes = list(recording(shots, runtime.graph.states, args.seconds, number))
        seconds += sum(len(scene.truth) for scene in scenes) / RATE
        by_track, by_person, counted = tracks(scenes, runtime, scores)
        for name, value in counted.items():
            counts[name] += value
        for name, answers in (
            ("ByteTrack, package `trackers`", bytetrack(scenes)),
            ("the node's tracker, boxes alone", boxes_alone(scenes)),
            ("tracks", by_track),
            ("persons of the tracks", by_person),
        ):
            sums[name].append(judged(scenes, answers))
    columns = list(next(iter(sums.values()))[0])
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, rows in sums.items():
        means = {c: np.mean([row[c] for row in rows]) for c in columns}
        whole = {c: np.sum([row[c] for row in rows]) for c in columns}
        cells = [f"{means[c]:.1f}" if c[0].isupper() else f"{whole[c]:.0f}" for c in columns]
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"\n{seconds:.0f} person-seconds; {counts['embedded'] / seconds:.2f} embeddings and "
        f"{counts['events'] / seconds:.2f} events a person-second, instead of {RATE:.0f}; "
        f"{dict(counts)}\n"
    )


def pooling(args: argparse.Namespace, runtime: Runtime, scores: Scores) -> None:
    records = _records(args.data)
    chance = np.random.default_rng(0)
    worn = [_worn(record, chance, runtime) for record in records]
    ids = np.array([r.identity for r in records])
    cameras = np.array([r.camera for r in records])
    space = Space.of(runtime.bundle.manifest)
    likeness = Likeness(scores, scores.threshold(FMR), FMR)
    print(
        "| state | single crops | pooled, equal weights | pooled by quality | known | strangers |"
    )
    print("|---|---|---|---|---|---|")
    groups = [(i, c) for i in np.unique(ids) for c in np.unique(cameras)]
    for state in runtime.graph.states:
        samples = [{m: images[m] for m in state.available} for images, _ in worn]
        vectors = np.concatenate(
            [
                runtime.embed_batch(samples[i : i + runtime.max_batch])
                for i in range(0, len(samples), runtime.max_batch)
            ]
        )
        single = rank(vectors, vectors, ids, ids, cameras, cameras)
        cells = [f"{single.map:.1f} / {single.cmc(1):.1f}"]
        tracks_: list[Pooled] = []
        for weighted in (False, True):
            tracks_ = []
            for who, camera in groups:
                track = Pooled(space)
                for k in np.flatnonzero((ids == who) & (cameras == camera)):
                    track.add(state, vectors[k], worn[k][1] if weighted else 1.0)
                tracks_.append(track)
            made = np.stack([track.vector(state) for track in tracks_])
            of = np.array([i for i, _ in groups]), np.array([c for _, c in groups])
            found = rank(made, made, of[0], of[0], of[1], of[1])
            cells.append(f"{found.map:.1f} / {found.cmc(1):.1f}")
        known, passed = [], []  # who comes back to a camera: the other half of the shots
        halves = [
            [
                _half(space, state, vectors, worn, (ids == who) & (cameras == camera), h)
                for h in (0, 1)
            ]
            for who, camera in groups
        ]
        for a, (who, camera) in enumerate(groups):
            for b, (other, its) in enumerate(groups):
                if camera == its:
                    score = likeness.score(halves[a][0], halves[b][1])
                    (known if who == other else passed).append(likeness.same(score))
        cells += [f"{100 * np.mean(known):.1f} %", f"{100 * np.mean(passed):.2f} %"]
        print(f"| {state.name} | {' | '.join(cells)} |", flush=True)


def _half(
    space: Space,
    state: State,
    vectors: NDArray[np.float32],
    worn: Sequence[tuple[object, float]],
    mine: NDArray[np.bool_],
    half: int,
) -> Pooled:
    track = Pooled(space)
    for k in np.flatnonzero(mine)[half::2]:
        track.add(state, vectors[k], worn[k][1])
    return track


def _worn(
    record: Record, chance: np.random.Generator, runtime: Runtime
) -> tuple[Mapping[str, NDArray[np.uint8]], float]:
    """A sighting as a node has it: one in three is small, cut at the side, or hidden in part."""
    images = {m: np.asarray(opened(ref)) for m, ref in record.images.items()}
    height, width = next(iter(images.values())).shape[:2]
    size = runtime.bundle.manifest.preprocessing
    box, others, frame = Box(100, 100, 100 + width, 100 + height), [], (640, 480)
    draw = chance.random()
    if draw < 0.11:  # far away
        images = {m: image[::4, ::4] for m, image in images.items()}
        box = Box(100, 100, 100 + width / 4, 100 + height / 4)
    elif draw < 0.22:  # half out of the frame
        images = {m: image[:, : width // 2] for m, image in images.items()}
        box = Box(640 - width / 2, 100, 640, 100 + height)
    elif draw < 0.33:  # behind somebody
        noise = chance.integers(0, 256, (height, width // 2, 3), dtype=np.uint8)
        images = {
            m: np.concatenate((image[:, : width // 2], noise), 1) for m, image in images.items()
        }
        others = [Box(box.left + width / 2, 90, box.right + width / 2, 110 + height)]
    worth = quality(box, images, 1.0, frame, others, (size.width, size.height))
    return images, worth


def _records(root: Path) -> list[Record]:
    data = open_data(root)
    return [*data.train, *all_samples(open_split(data))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--people", type=int, default=6)
    args = parser.parse_args()
    print(processor())
    with Runtime.load(args.bundle, "ort-cpu") as runtime:
        scores = read_scores(args.scores, Space.of(runtime.bundle.manifest))
        following(args, runtime, scores)
        pooling(args, runtime, scores)


if __name__ == "__main__":
    main()
