"""What a source would become as a data set: numbers for identities and cameras, and a split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Group
from rich.table import Table
from rich.text import Text

from denet.data.importing.found import FoundImage, ImageSource
from denet.data.sample import DataError
from denet.folders import folder_of, natural_order
from denet.graph import RGB_NIR_TIR, Modality

MOST = 999_999
"""The greatest number of an identity: RGBNT201's names have six digits for it."""

SPLITS = ("train", "test")


@dataclass(frozen=True)
class ProposedSample:
    """One sample.

    Attributes:
        split: "train" or "test".
        name: of its files, without extension: `000007_cam2_0003`.
        images: those that it has, one for each modality.
    """

    split: str
    name: str
    images: dict[Modality, FoundImage]

    def place(self, modality: Modality) -> Path:
        """Where its image of a modality is to be, from the root of the set."""
        ending = self.images[modality].path.suffix.lower()
        return Path(self.split, folder_of(modality), self.name + ending)


@dataclass(frozen=True)
class Proposal:
    """A data set that could be written.

    Attributes:
        root: the source.
        source: what was found in it.
        samples: ordered by split and name.
        identities: numbers by what the source calls them.
        cameras: numbers by what the source calls them; empty where it tells none, and each sample
            of an identity has a camera of its own.
    """

    root: Path
    source: ImageSource
    samples: tuple[ProposedSample, ...]
    identities: dict[str, int]
    cameras: dict[str, int]


def propose(root: Path, source: ImageSource, *, train_share: float, seed: int) -> Proposal:
    """Identities to train on and others to test with, drawn at random.

    Args:
        root: the source.
        source: what was found in it.
        train_share: of the identities; each part gets at least one.
        seed: of the draw.

    Raises:
        DataError: there is only one identity, or more than there are numbers.
    """
    identities = _numbers((image.identity for image in source.images), 0, MOST)
    if len(identities) < 2:
        raise DataError(
            f"{root}: shows one identity, {next(iter(identities))!r}, by {source.told_by}: "
            "a data set needs one to train on and another to test with"
        )
    told = [image.camera for image in source.images]
    cameras = _numbers((each for each in told if each is not None), 1, MOST)
    trained = _drawn(list(identities), train_share, seed)

    groups: dict[tuple[str, str | None, str], dict[Modality, FoundImage]] = {}
    for image in source.images:
        key = image.identity, image.camera, image.sample
        groups.setdefault(key, {})[image.modality] = image
    samples: list[ProposedSample] = []
    counts: Counter[tuple[str, str | None]] = Counter()
    for key in sorted(groups, key=lambda k: [natural_order(part or "") for part in k]):
        identity, camera, _ = key
        place = counts[identity, camera]
        counts[identity, camera] += 1
        seen_by = place + 1 if camera is None else cameras[camera]
        name = f"{identities[identity]:06}_cam{seen_by}_{place:04}"
        images = {m: groups[key][m] for m in RGB_NIR_TIR.modalities if m in groups[key]}
        split = SPLITS[0] if identity in trained else SPLITS[1]
        samples.append(ProposedSample(split, name, images))
    samples.sort(key=lambda sample: (SPLITS.index(sample.split), natural_order(sample.name)))
    return Proposal(root, source, tuple(samples), identities, cameras)


def _numbers(names: Iterable[str], least: int, most: int) -> dict[str, int]:
    """A number for each name: its own where all are numbers, else its place in their order."""
    ordered = sorted(set(names), key=natural_order)
    own = [int(name) for name in ordered if re.fullmatch("[0-9]{1,18}", name)]
    if len(set(own)) == len(ordered) and all(least <= number <= most for number in own):
        return dict(zip(ordered, own, strict=True))
    if len(ordered) > most:
        raise DataError(f"{len(ordered)} identities are more than {most}")
    return {name: number for number, name in enumerate(ordered, start=1)}


def _drawn(identities: Sequence[str], share: float, seed: int) -> set[str]:
    count = min(max(round(len(identities) * share), 1), len(identities) - 1)
    return set(Random(seed).sample(list(identities), count))


def proposal_table(proposal: Proposal) -> Group:
    """The proposal to print: what the source is taken for, and one row for each split."""
    images = proposal.source.images
    called: dict[Modality, set[str]] = {}
    for image in images:
        called.setdefault(image.modality, set()).add(image.folder)
    lines = [f"{proposal.root}: {len(images)} images, by {proposal.source.told_by}"]
    for modality in RGB_NIR_TIR.modalities:
        if modality in called:
            count = sum(image.modality == modality for image in images)
            names = ", ".join(sorted(called[modality] - {""})) or "all images"
            lines.append(f"  {names} -> {modality}: {count} images")
    lines.append(f"  identities: {_shown(proposal.identities)}")
    cameras = _shown(proposal.cameras) if proposal.cameras else "not told: each sample has its own"
    lines.append(f"  cameras: {cameras}")
    table = Table("split")
    for column in ("samples", "identities"):
        table.add_column(column, justify="right")
    table.add_column("states")
    table.add_column("for example")
    for split in SPLITS:
        table.add_row(split, *_row([s for s in proposal.samples if s.split == split]))
    return Group(*map(Text, lines), table, *map(Text, proposal.source.notes))


def _row(samples: Sequence[ProposedSample]) -> tuple[str, str, str, str]:
    states = Counter(RGB_NIR_TIR.state(sample.images) for sample in samples)
    modality, image = next(iter(samples[0].images.items()))
    return (
        str(len(samples)),
        str(len({sample.name.partition("_")[0] for sample in samples})),
        "\n".join(f"{state.name} {states[state]}" for state in RGB_NIR_TIR.states if states[state]),
        f"{image.path.name} -> {samples[0].place(modality)}",
    )


def _shown(numbers: dict[str, int]) -> str:
    parts = [n if n.lstrip("0") == str(i) or n == str(i) else f"{n} -> {i}" for n, i in
             list(numbers.items())[:6]]  # fmt: skip
    return f"{len(numbers)} ({', '.join(parts)}{', ...' if len(numbers) > 6 else ''})"
