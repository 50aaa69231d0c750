"""The synthetic set: what is written, what each sensor can see, and how hard it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from denet.data.synthetic import (
    SyntheticConfig,
    SyntheticError,
    World,
    write_synthetic,
)
from denet.data.synthetic.person import Look, Material, Person
from denet.errors import DenetError
from denet.graph import RGB_NIR_TIR, Modality
from tests.paths import ROOT

MODALITIES = RGB_NIR_TIR.modalities
FOLDERS = {"rgb": "RGB", "nir": "NI", "tir": "TI"}

SMALL = SyntheticConfig(
    identities=5, cameras=3, shots=2, height=64, width=32, train_share=0.4, seed=3
)
WORLD = World(SMALL)
NAME = re.compile(r"(?P<identity>\d{6})_cam(?P<camera>[1-9])_(?P<time>[01])_(?P<shot>\d\d)\.jpg")
Triplet = Mapping[Modality, Image.Image]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    write_synthetic(out, SMALL)
    return out


def contents(root: Path) -> dict[str, bytes]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def pixels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, np.float64)


def changed(before: Triplet, after: Triplet) -> set[Modality]:
    return {m for m in MODALITIES if before[m].tobytes() != after[m].tobytes()}


# --- what is written


def test_layout_is_that_of_rgbnt201(written: Path) -> None:
    assert sorted(p.name for p in written.iterdir()) == ["test", "train"]
    identities = {}
    for part in ("train", "test"):
        names = {
            m: sorted(p.name for p in (written / part / f).iterdir()) for m, f in FOLDERS.items()
        }
        assert names["rgb"] == names["nir"] == names["tir"]
        found = [match for name in names["rgb"] if (match := NAME.fullmatch(name))]
        assert len(found) == len(names["rgb"])
        keys = {(m["identity"], m["camera"], m["shot"]) for m in found}
        identities[part] = {int(m["identity"]) for m in found}
        assert len(keys) == len(found) == len(identities[part]) * SMALL.cameras * SMALL.shots
        assert {int(m["camera"]) for m in found} == {1, 2, 3}
        assert {int(m["shot"]) for m in found} == {0, 1}
    assert identities == {"train": {1, 2}, "test": {3, 4, 5}}


def test_images_have_the_size_and_the_channels_of_their_modality(written: Path) -> None:
    for modality, folder in FOLDERS.items():
        for path in (written / "test" / folder).iterdir():
            with Image.open(path) as image:
                assert image.format == "JPEG"
                assert image.size == (SMALL.width, SMALL.height)
                assert image.mode == ("RGB" if modality == "rgb" else "L")


def test_the_name_tells_day_from_night(written: Path) -> None:
    for path in (written / "train" / "RGB").iterdir():
        match = NAME.fullmatch(path.name)
        assert match is not None
        identity, camera, shot = (int(match[k]) for k in ("identity", "camera", "shot"))
        assert WORLD.shot(identity, camera - 1, shot).night == (match["time"] == "1")


def test_equal_configurations_give_equal_bytes_and_other_seeds_other_images(
    written: Path, tmp_path: Path
) -> None:
    first = contents(written)
    write_synthetic(tmp_path / "again", replace(SMALL))
    assert contents(tmp_path / "again") == first
    write_synthetic(tmp_path / "other", replace(SMALL, seed=4))
    second = contents(tmp_path / "other")
    assert not set(first.values()) & set(second.values())


def test_another_process_without_torch_writes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from denet.data.synthetic import SyntheticConfig, write_synthetic\n"
        f"write_synthetic(Path({str(tmp_path / 'set')!r}), {SMALL!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert contents(tmp_path / "set") == contents(written)


def test_nobody_depends_on_who_else_is_drawn_nor_in_which_order() -> None:
    alone = World(SMALL)
    wanted = alone.render(alone.person(2), 1, alone.shot(2, 1, 1))
    crowd = World(replace(SMALL, identities=50, shots=9, train_share=0.9))
    for identity in (40, 7, 1):
        crowd.person(identity)
        crowd.shot(identity, 2, 8)
    assert not changed(wanted, crowd.render(crowd.person(2), 1, crowd.shot(2, 1, 1)))


def test_notify_is_told_each_identity_once(tmp_path: Path) -> None:
    told: list[str] = []
    write_synthetic(tmp_path / "set", replace(SMALL, cameras=1, shots=1), notify=told.append)
    assert told == ["train 000001", "train 000002", "test 000003", "test 000004", "test 000005"]


@pytest.mark.parametrize("size", [(32, 16), (47, 31), (111, 40), (256, 128)])
def test_every_size_is_drawn(size: tuple[int, int]) -> None:
    world = World(SyntheticConfig(height=size[0], width=size[1]))
    for shot in range(3):
        images = world.render(world.person(1), 0, world.shot(1, 0, shot))
        assert {image.size for image in images.values()} == {size[::-1]}


# --- what is refused


@pytest.mark.parametrize("kind", ["directory", "file", "dangling link"])
def test_what_exists_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "set"
    if kind == "directory":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SyntheticError, match=r"set: exists already"):
        write_synthetic(out, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SyntheticError, match="does not exist"):
        write_synthetic(tmp_path / "absent" / "set", SMALL)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), SyntheticError),
    ],
)
def test_an_interruption_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    expected: type[BaseException],
) -> None:
    save, calls = Image.Image.save, []

    def interrupted(self: Image.Image, *args: object, **options: object) -> None:
        calls.append(self)
        if len(calls) == 40:
            raise raised
        save(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(expected) as error:
        write_synthetic(tmp_path / "set", SMALL)
    assert len(calls) == 40
    assert not list(tmp_path.iterdir())
    if isinstance(error.value, SyntheticError):
        assert "No space left" in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"identities": 1},
        {"cameras": 0},
        {"cameras": 10},
        {"shots": 0},
        {"shots": 101},
        {"height": 16},
        {"width": 8},
        {"train_share": 0.0},
        {"train_share": 1.0},
        {"train_share": float("nan")},
        {"seed": -1},
    ],
)
def test_a_configuration_that_cannot_be_made_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DenetError, match=next(iter(wrong))):
        SyntheticConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "train"), [(0.001, 1), (0.5, 30), (0.7, 42), (0.999, 59)])
def test_each_part_gets_an_identity(share: float, train: int) -> None:
    assert SyntheticConfig(train_share=share).train_identities == train


# --- what each sensor sees


def redrawn(person: Person, **other: object) -> Person:
    looks = {m: Look(**{**vars(look), **other}) for m, look in person.looks.items()}
    return replace(person, looks=looks)


@pytest.mark.parametrize(
    ("other", "seen_by"),
    [
        ({"colour": (0.9, 0.1, 0.5)}, {"rgb"}),
        ({"reflectance": 0.9}, {"nir"}),
        ({"heat": 0.7}, {"tir"}),
    ],
)
def test_each_look_is_seen_by_one_modality(
    other: dict[str, object], seen_by: set[Modality]
) -> None:
    for identity in range(1, 6):
        person, shot = WORLD.person(identity), WORLD.shot(identity, 0, 0)
        before = WORLD.render(person, 0, shot)
        assert changed(before, WORLD.render(redrawn(person, **other), 0, shot)) == seen_by


def test_geometry_is_seen_by_all() -> None:
    person, shot = WORLD.person(1), WORLD.shot(1, 0, 0)
    taller = replace(
        person, physique=replace(person.physique, shoulder=person.physique.shoulder + 0.03)
    )
    before, after = WORLD.render(person, 0, shot), WORLD.render(taller, 0, shot)
    assert changed(before, after) == set(MODALITIES)


def test_night_is_dark_in_visible_light_only() -> None:
    for identity in range(1, 6):
        person, shot = WORLD.person(identity), WORLD.shot(identity, 1, 0)
        day = WORLD.render(person, 1, replace(shot, night=False))
        night = WORLD.render(person, 1, replace(shot, night=True))
        assert changed(day, night) == {"rgb"}
        assert pixels(night["rgb"]).mean() < 0.6 * pixels(day["rgb"]).mean()


def test_glare_and_thermal_blur_trouble_one_sensor_each() -> None:
    person, shot = WORLD.person(1), replace(WORLD.shot(1, 0, 0), glare=(0.5, 0.4, 0.0))
    before = WORLD.render(person, 0, shot)
    glare = WORLD.render(person, 0, replace(shot, glare=(0.5, 0.4, 0.5)))
    assert changed(before, glare) == {"nir"}
    assert pixels(glare["nir"]).mean() > pixels(before["nir"]).mean() + 20
    blurred = WORLD.render(person, 0, replace(shot, tir_blur=0.04))
    assert changed(before, blurred) == {"tir"}


def test_bare_legs_are_hot_and_bright_in_near_infrared() -> None:
    person = WORLD.person(1)
    shot = WORLD.shot(1, 0, 0)
    shot = replace(
        shot,
        pose=replace(shot.pose, yaw=0.0, stride=0.03),
        occluder=None,
        glare=(0, 0, 0),
        tir_blur=0.004,
    )
    looks = {**person.looks, Material.BOTTOM: Look((0.1, 0.1, 0.1), 0.2, 0.5)}
    outfit = replace(person.outfit, bottom="trousers", coat=0.0, bag="none", boots=False)
    legs = slice(int(0.68 * SMALL.height), int(0.86 * SMALL.height))
    middle = slice(int(0.35 * SMALL.width), int(0.65 * SMALL.width))
    images = [
        WORLD.render(
            replace(person, looks=looks, outfit=replace(outfit, legs_covered=covered)), 0, shot
        )
        for covered in (0.35, 1.0)
    ]
    for modality in ("nir", "tir"):
        bare, covered = (pixels(each[modality])[legs, middle].mean() for each in images)
        assert bare > covered + 15


def test_the_troubles_are_as_frequent_as_documented() -> None:
    shots = [WORLD.shot(i, c, s) for i in range(1, 101) for c in range(3) for s in range(4)]
    assert np.mean([s.night for s in shots]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([s.tir_blur > 0.01 for s in shots]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([s.glare[2] > 0 for s in shots]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([s.occluder is not None for s in shots]) == pytest.approx(0.14, abs=0.04)


def test_people_share_colours_that_near_infrared_tells_apart() -> None:
    people = [WORLD.person(identity) for identity in range(1, 301)]
    tops = [person.looks[Material.TOP] for person in people]
    dark = [look for look in tops if max(look.colour) < 0.2]
    assert len(dark) > 60
    assert np.std([look.reflectance for look in dark]) > 0.12
    # Dye is clear in near infrared; a woven pattern is another yarn. Heat sees neither.
    patterns = [person.looks[Material.PATTERN] for person in people]
    contrast = np.array(
        [abs(a.reflectance - b.reflectance) for a, b in zip(tops, patterns, strict=True)]
    )
    assert 0.35 < np.mean(contrast < 0.08) < 0.75
    assert all(a.heat == b.heat for a, b in zip(tops, patterns, strict=True))


def test_one_modality_tells_a_little_about_another() -> None:
    looks = [WORLD.person(identity).looks[Material.TOP] for identity in range(1, 1001)]
    columns = np.array([(np.mean(k.colour), k.reflectance, k.heat) for k in looks])
    correlation = np.corrcoef(columns.T)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() > 0.1
    assert np.abs(correlation).max() < 0.6


# --- how hard it is


def stripes(image: Image.Image, count: int = 8) -> NDArray[np.float64]:
    """Mean and standard deviation of each channel in horizontal stripes of the middle."""
    values = pixels(image).reshape(image.height, image.width, -1)
    middle = values[:, round(0.3 * image.width) : round(0.7 * image.width)]
    each = middle.reshape(count, -1, middle.shape[2])
    return np.concatenate([each.mean(1).ravel(), each.std(1).ravel()])


def mean_average_precision(
    features: NDArray[np.float64], identities: NDArray[np.int64], cameras: NDArray[np.int64]
) -> float:
    """The Market-1501 protocol, every image a query: its own camera's hits are dropped."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    precisions = []
    for scores, identity, camera in zip(unit @ unit.T, identities, cameras, strict=True):
        kept = (identities != identity) | (cameras != camera)
        hits = identities[kept][np.argsort(-scores[kept], kind="stable")] == identity
        ranks = np.flatnonzero(hits) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(precisions))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hand_made_features_find_people_neither_always_nor_never(seed: int) -> None:
    """A stand-in for a model: stripes, standardized per camera, nearest neighbour first."""
    config = SyntheticConfig(seed=seed)
    world = World(config)
    keys = [
        (identity, camera, shot)
        for identity in range(config.train_identities + 1, config.identities + 1)
        for camera in range(config.cameras)
        for shot in range(config.shots)
    ]
    identities, cameras, _ = np.array(keys).T
    people = {identity: world.person(identity) for identity in set(identities.tolist())}
    triplets = [world.render(people[i], c, world.shot(i, c, s)) for i, c, s in keys]
    features = {}
    for modality in MODALITIES:
        raw = np.array([stripes(triplet[modality]) for triplet in triplets])
        for camera in range(config.cameras):
            mine = raw[cameras == camera]
            raw[cameras == camera] = (mine - mine.mean(0)) / mine.std(0)
        features[modality] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    noise = np.random.default_rng(0).normal(size=(len(keys), 50))
    chance = mean_average_precision(noise, identities, cameras)
    alone = {m: mean_average_precision(features[m], identities, cameras) for m in MODALITIES}
    everything = np.concatenate(list(features.values()), axis=1)
    complete = mean_average_precision(everything, identities, cameras)
    assert chance < 0.06
    for value in alone.values():
        assert max(2 * chance, 0.08) < value < 0.35
    assert max(alone.values()) < complete
    assert alone["tir"] == min(alone.values())
    assert 0.25 < complete < 0.6
