"""What a data set holds, and what is wrong with it: every image is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from rich.console import Group
from rich.table import Table
from rich.text import Text

from denet.data.causes import Causes
from denet.data.depth import Depths
from denet.data.records import (
    DataError,
    DataSet,
    ImageRef,
    Record,
    graph_of,
    open_data,
    read_image,
    unmatched,
)
from denet.data.support import LEAST_IDENTITIES, Needs, Support
from denet.graph import RGB_NIR_TIR, Graph, Modality
from denet.images import size_of

SHOWN = 20
"""How many problems and how many notes a printed report lists."""

TRAIN = "train"

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    Attributes:
        name: "train" and, where query and gallery are one, "test", else "query" and "gallery".
        samples: how many.
        identities: how many.
        cameras: how many.
        states: samples in each missing state that occurs, by the state's name.
        sizes: least, median and greatest width, and the same of the height, of the images that
            can be read; None if there are none.
    """

    name: str
    samples: int
    identities: int
    cameras: int
    states: dict[str, int]
    sizes: tuple[Size, Size, Size] | None


@dataclass(frozen=True)
class DataReport:
    """What a data set holds.

    Attributes:
        name: the layout.
        root: the folder.
        splits: those that are there.
        sees: how many training samples each loss will see, in parts of a line; empty where all see
            all.
        stops: one line for each cause; training would stop or not begin.
        problems: one line for each cause; training or evaluation would suffer.
        notes: one line for each cause; unusual, but harmless.
    """

    name: str
    root: Path
    splits: tuple[SplitReport, ...]
    sees: list[str]
    stops: list[str]
    problems: list[str]
    notes: list[str]


def check_data(
    root: Path,
    modalities: Sequence[Modality] | None = None,
    *,
    notify: Callable[[int, int], None] = lambda *_: None,
) -> DataReport:
    """Open the data set in `root`, decode every image of it, and report.

    Args:
        root: in one of the layouts of `open_data`.
        modalities: of the model that is to be trained; by default all that training samples have.
        notify: told after every sample how many are done, and of how many.

    Raises:
        DataError: as `open_data`; the data set cannot be opened at all.
    """
    data = open_data(root)
    wanted = Graph(tuple(modalities)) if modalities is not None else graph_of(data.train)
    splits = _splits(data)
    total = sum(len(records) for records in splits.values())
    done = 0
    reports: list[SplitReport] = []
    stops, problems, notes = Causes(), Causes(), Causes()
    depths = Depths()
    for name, records in splits.items():
        sizes: list[Size] = []
        unreadable = stops if name == TRAIN else problems
        for record in records:
            if name != TRAIN and (lacking := record.missing(data.graph)):
                notes.add(_where(name, record), f"no {' and '.join(lacking)}", f"{name} {lacking}")
            found = _sizes(record, depths, unreadable)
            if len(set(found.values())) > 1:
                shown = ", ".join(f"{m} {_text(size)}" for m, size in found.items())
                notes.add(_where(name, record), f"sizes differ: {shown}", name)
            sizes += found.values()
            done += 1
            notify(done, total)
        states = Counter(data.graph.state(record.images) for record in records)
        reports.append(
            SplitReport(
                name,
                len(records),
                len({record.identity for record in records}),
                len({record.camera for record in records}),
                {state.name: states[state] for state in data.graph.states if state in states},
                _range(sizes),
            )
        )
    return DataReport(
        data.name,
        root,
        tuple(reports),
        Support.of(data.train, wanted).lines(),
        [*_stops_training(data, wanted), *stops.lines()],
        [*_of_protocol(data), *problems.lines()],
        [*_told(data, wanted), *depths.notes(data.graph.modalities), *notes.lines()],
    )


def report_table(report: DataReport) -> Group:
    """The report to print: one row for each split, then the problems and the notes."""
    table = Table("split", title=f"{report.name} data", title_justify="left")
    for column in ("samples", "identities", "cameras"):
        table.add_column(column, justify="right")
    table.add_column("states")
    table.add_column("width x height: least, median, greatest")
    for split in report.splits:
        table.add_row(
            split.name,
            str(split.samples),
            str(split.identities),
            str(split.cameras),
            "\n".join(f"{name} {count}" for name, count in split.states.items()),
            ", ".join(map(_text, split.sizes)) if split.sizes else "-",
        )
    lines = [
        *(Text(f"{'training: ' if i == 0 else '  '}{line}") for i, line in enumerate(report.sees)),
        *(_listed("fault that stops training", report.stops, "red") if report.stops else []),
        *_listed("problem", report.problems, "red"),
        *_listed("note", report.notes, "yellow"),
    ]
    return Group(table, *lines)


def _listed(kind: str, texts: Sequence[str], style: str) -> list[Text]:
    noun, _, rest = kind.partition(" ")
    if not texts:
        return [Text(f"no {noun}s")]
    many = len(texts) > 1
    said = f"{noun}{'s' if many else ''} {rest.replace('stops', 'stop') if many else rest}"
    lines = [Text(f"{len(texts)} {said.rstrip()}", style=f"bold {style}")]
    lines += [Text(f"  {text}") for text in texts[:SHOWN]]
    if len(texts) > SHOWN:
        lines.append(Text(f"  ... and {len(texts) - SHOWN} more"))
    return lines


def _splits(data: DataSet) -> dict[str, tuple[Record, ...]]:
    tested = (
        {"test": data.query}
        if data.query is data.gallery
        else {"query": data.query, "gallery": data.gallery}
    )
    return {name: records for name, records in ({TRAIN: data.train} | tested).items() if records}


def _sizes(record: Record, depths: Depths, unreadable: Causes) -> dict[Modality, Size]:
    """The size of each image of `record` that can be decoded; adds those that cannot."""
    found: dict[Modality, Size] = {}
    by_file: dict[Path, dict[Modality, ImageRef]] = {}
    for modality, ref in record.images.items():
        by_file.setdefault(ref.path, {})[modality] = ref
    for path, refs in by_file.items():
        try:
            whole = read_image(path)
            parts = {modality: ref.part_of(whole) for modality, ref in refs.items()}
            for modality, part in parts.items():
                depths.add(modality, part)
                found[modality] = size_of(part)
        except DataError as error:
            unreadable.add(str(path), str(error).removeprefix(f"{path}: "))
    return found


def _stops_training(data: DataSet, wanted: Graph) -> list[str]:
    """Why training a model of the modalities of `wanted` would not begin."""
    if not data.train:
        return ["no training samples: it can be evaluated on, and not trained on"]
    if faults := Support.of(data.train, wanted).faults(Needs()):
        return faults
    identities = {record.identity for record in data.train}
    if len(identities) < LEAST_IDENTITIES:
        return [f"{_named(identities)} to train on: training tells identities apart, so it needs 2"]
    return []


def _told(data: DataSet, wanted: Graph) -> list[str]:
    """With what a model has to be trained that cannot have the usual modalities."""
    absent = [m for m in RGB_NIR_TIR.modalities if m not in graph_of(data.train).modalities]
    if not data.train or not absent or any(m in absent for m in wanted.modalities):
        return []
    return [
        f"no training sample has {' or '.join(absent)}: train with --modalities "
        f"{','.join(wanted.modalities)}"
    ]


def _of_protocol(data: DataSet) -> list[str]:
    """What is wrong with who is in which split and seen by which cameras."""
    problems: list[str] = []
    tested = {record.identity for record in (*data.query, *data.gallery)}
    leaked = {record.identity for record in data.train} & tested
    if leaked:
        problems.append(
            f"{_named(leaked)} in both training and test: an evaluation on them shows nothing"
        )
    alone = [record.identity for record in unmatched(data.query, data.gallery)]
    if alone:
        problems.append(
            f"{_named(set(alone))} seen by no second camera in the gallery: {len(alone)} of "
            f"{len(data.query)} queries cannot be matched, and an evaluation leaves them out"
        )
    return problems


def _named(identities: Collection[int]) -> str:
    listed = ", ".join(map(str, sorted(identities)[:10]))
    more = ", ..." if len(identities) > 10 else ""
    return (
        f"{len(identities)} {'identity' if len(identities) == 1 else 'identities'} ({listed}{more})"
    )


def _where(split: str, record: Record) -> str:
    return f"{split}: {record.name}"


def _range(sizes: Sequence[Size]) -> tuple[Size, Size, Size] | None:
    if not sizes:
        return None
    widths, heights = zip(*sizes, strict=True)
    return (
        (min(widths), min(heights)),
        (median_low(widths), median_low(heights)),
        (max(widths), max(heights)),
    )


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
