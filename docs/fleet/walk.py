"""Draws two gates that the same people pass, and writes what nodes and a fleet need to see them:

    python docs/fleet/walk.py DATA FOLDER

DATA is what `denet synth` has drawn; FOLDER is made. Each gate is a recording of three sensors with
a file of boxes and a configuration; people come to the second some seconds after the first, seen by
another camera of DATA.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT, RATE = 320, 160, 10
PEOPLE, STEPS, PAUSE = 6, 30, 30
FOLDERS = {"RGB": "rgb", "NI": "nir", "TI": "tir"}

NODE = """name = "{name}"
[model]
bundle = "model.denet"
{sources}
[boxes]
file = "{folder}/{name}.jsonl"
[tracks]
scores = "scores.json"
fmr = 0.01
crops = 1
[events.mqtt]
url = "mqtt://127.0.0.1:1883"
outbox = "{folder}/{name}-outbox.db"
needs_receiver = true
"""

SOURCE = '[sources.{modality}]\nurl = "folder:{folder}/{name}"\nrate = {rate}\n'

FLEET = """[archive]
url = "postgresql://postgres@127.0.0.1:5432/postgres?password_env=DENET_ARCHIVE_PASSWORD"
days = 1
[broker]
url = "mqtt://127.0.0.1:1883"
[questions]
bundle = "model.denet"
scores = "scores.json"
"""


def shots(data: Path) -> dict[str, dict[str, list[str]]]:
    """Names of files by person, then by camera."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted((data / "test" / "RGB").iterdir()):
        person, camera = path.name.split("_")[:2]
        found[person][camera].append(path.name)
    return found


def gate(data: Path, folder: Path, name: str, walks: list[list[str]], late: int) -> None:
    """Frames, boxes and configuration of one gate.

    Args:
        data: the pictures.
        folder: to write to.
        name: of the gate.
        walks: the pictures of each person who passes.
        late: moments before the first of them.
    """
    lines = []
    for of in FOLDERS:
        (folder / name / of).mkdir(parents=True)
    moments = late + len(walks) * (STEPS + PAUSE)
    for moment in range(moments):
        person, step = divmod(moment - late, STEPS + PAUSE)
        walking = person >= 0 and step < STEPS
        left = round((WIDTH - 60) * step / STEPS)
        box = (left, 20, left + 60, 20 + 120)
        for of in FOLDERS:
            noise = [Image.effect_noise((WIDTH, HEIGHT), 20) for _ in range(3)]
            frame = Image.merge("RGB", noise if of == "RGB" else noise[:1] * 3)
            if walking:
                shot = walks[person][step * len(walks[person]) // STEPS]
                with Image.open(data / "test" / of / shot) as picture:
                    frame.paste(picture.convert("RGB").resize((60, 120)), box[:2])
            frame.save(folder / name / of / f"{moment:06}.jpg", quality=90)
        boxes = [list(box)] if walking else []
        lines.append(json.dumps({"name": f"{moment:06}", "boxes": boxes}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    sources = "".join(
        SOURCE.format(modality=m, folder=folder, name=name, rate=RATE) for m in FOLDERS.values()
    )
    (folder / f"{name}.toml").write_text(NODE.format(name=name, folder=folder, sources=sources))


def main(data: Path, folder: Path) -> None:
    people = list(shots(data).values())[:PEOPLE]
    cameras = [sorted(person) for person in people]
    gate(data, folder, "gate-1", [p[c[0]] for p, c in zip(people, cameras, strict=True)], 10)
    gate(data, folder, "gate-2", [p[c[-1]] for p, c in zip(people, cameras, strict=True)], 70)
    (folder / "fleet.toml").write_text(FLEET)
    print(f"{folder}: gate-1.toml, gate-2.toml, fleet.toml; {len(people)} people")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
