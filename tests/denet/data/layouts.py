"""Data sets on disk in the exact layouts of their makers, with images of a few pixels."""

from __future__ import annotations

from pathlib import Path

from tests.denet.data.sets import noise, save

SIZE = (12, 24)

MULTISPECTRAL = ("vis", "ni", "th")


def draw(path: Path) -> Path:
    return save(path, noise(sum(map(ord, path.stem + path.parent.name)), SIZE))


def msvr310(root: Path) -> Path:
    """`bounding_box_train/0268/vis/0268_s000_v0_000.jpg`: vehicle, scene, view, number."""
    for split, names in {
        "bounding_box_train": ("0268_s000_v0_000", "0268_s001_v3_001", "0007_s002_v1_000"),
        "query3": ("0012_s001_v2_003",),
        "bounding_box_test": ("0012_s001_v2_003", "0012_s004_v2_000", "0030_s001_v7_000"),
    }.items():
        for name in names:
            for modality in MULTISPECTRAL:
                draw(root / split / name[:4] / modality / f"{name}.jpg")
    return root


def wmveid863(root: Path, gallery: str = "test") -> Path:
    """`train/0001/vis/v1_n0_s001_000.jpg`: view, night, scene, number."""
    for split, names in {
        "train": ("0001/v1_n0_s001_000", "0001/v2_n1_s002_000", "0002/v8_n0_s001_000"),
        "query": ("0400/v1_n0_s001_000",),
        gallery: ("0400/v1_n0_s001_000", "0400/v3_n0_s001_000"),
    }.items():
        for name in names:
            vehicle, _, image = name.partition("/")
            for modality in MULTISPECTRAL:
                draw(root / split / vehicle / modality / f"{image}.jpg")
    return root


def regdb(root: Path) -> Path:
    """`Visible/7/female_front_v_00753_7.bmp`, and lists with a label after each path."""
    lists: dict[str, list[str]] = {}
    for label, person in enumerate((7, 73, 168, 222)):
        part = "train" if label < 2 else "test"
        for sensor, letter in (("Visible", "v"), ("Thermal", "t")):
            for frame in ("00753", "00759"):
                name = f"{sensor}/{person}/female_front_{letter}_{frame}_{person}.bmp"
                draw(root / name)
                lists.setdefault(f"{part}_{sensor.lower()}", []).append(f"{name} {label % 2}")
    (root / "idx").mkdir()
    for trial in (1, 2):
        for name, lines in lists.items():
            ordered = lines if trial == 1 else lines[::-1]
            (root / "idx" / f"{name}_{trial}.txt").write_text("\n".join(ordered) + "\n")
    return root


def sysu(root: Path) -> Path:
    """`cam3/0007/0001.jpg`, and lists of identities in one line."""
    for camera in range(1, 7):
        for person in (1, 2, 9, 14):
            for image in (1, 2):
                if (camera, person) != (5, 14):
                    draw(root / f"cam{camera}" / f"{person:04d}" / f"{image:04d}.jpg")
    (root / "exp").mkdir()
    for name, ids in {"train": "1", "val": "2", "test": "9,14", "available": "1,2,9,14"}.items():
        (root / "exp" / f"{name}_id.txt").write_text(f"{ids}\n")
    return root


def llcm(root: Path) -> Path:
    """`vis/0001/0001_c03_s184251_f31995_vis.jpg`, `test_nir/cam2/0004/..._nir.jpg`, and lists."""
    (root / "idx").mkdir(parents=True)
    for sensor in ("vis", "nir"):
        lines = []
        for label, person in enumerate((1, 3)):
            for camera in (1, 4):
                image = f"{person:04d}_c{camera:02d}_s184251_f3199{label}_{sensor}.jpg"
                draw(root / sensor / f"{person:04d}" / image)
                lines.append(f"{sensor}/{person:04d}/{image} {label}")
        (root / "idx" / f"train_{sensor}.txt").write_text("\n".join(lines))
        for camera in (2, 9):
            for frame in (10, 20):
                name = f"0004_c{camera:02d}_s185535_f{frame}_{sensor}.jpg"
                draw(root / f"test_{sensor}" / f"cam{camera}" / "0004" / name)
    (root / "idx" / "test_id.txt").write_text("4")
    return root


def market1501(root: Path, below: str = ".") -> Path:
    """`bounding_box_test/-1_c1s1_000401_03.jpg`: nobody; identity 0: a distractor."""
    for split, names in {
        "bounding_box_train": ("0002_c1s1_000451_03", "0007_c6s4_000451_03"),
        "query": ("1501_c3s2_000001_00",),
        "bounding_box_test": (
            "1501_c3s2_000001_00",
            "1501_c4s2_000001_01",
            "-1_c1s1_000401_03",
            "0000_c2s1_000151_01",
        ),
    }.items():
        for name in names:
            draw(root / below / split / f"{name}.jpg")
    (root / below / "bounding_box_test" / "Thumbs.db").write_text("")
    return root


def people(root: Path) -> Path:
    """`train/anna/holiday.jpg`, and with modalities `train/bob/RGB/1.jpg`."""
    for name in (
        "train/anna/holiday",
        "train/anna/2",
        "train/carl/1",
        "test/dora/1",
        "test/dora/2",
    ):
        draw(root / f"{name}.jpg")
    for modality in ("RGB", "TI"):
        draw(root / "train" / "bob" / modality / "1.png")
    return root
