"""A report of models on one data set, as one HTML page that holds everything, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from denet import __version__
from denet.data.records import DataSet
from denet.errors import DenetError
from denet.evaluate import Split, parse_rates
from denet.examine import RATES, Examination, examine
from denet.figures import Drawing, draw_figures
from denet.figures.curves import draw_curves
from denet.files import file_digest
from denet.graph import Graph, State
from denet.marks import REPORT, OutputKind, document
from denet.metrics import Ranking
from denet.outputs import check_output, write_output
from denet.page import templates
from denet.progress import Whole
from denet.recovery import can_compare, mean_recovery
from denet.subject import Subject
from denet.tables import comparison_rows
from denet.testset import all_samples
from denet.training_log import log_of_checkpoint

FORMAT = "denet-report"

FACTS = OutputKind(".json", "the facts of a report are", "those of a report", document(FORMAT))
"""The file beside the page."""


SUMMARY = {
    "complete": "complete",
    "one missing": "one modality missing",
    "two missing": "two modalities missing",
}
"""What the cards of the page say above a row of each kind."""


class ReportError(DenetError):
    """A report that cannot be made or written; the message names the model or file."""


@dataclass(frozen=True)
class Parity:
    """A bundle beside the checkpoint that it was exported from.

    Attributes:
        checkpoint: its name in the report.
        bundle: its name in the report.
        difference: the largest of mAP and R1 over all states, in points of per cent.
    """

    checkpoint: str
    bundle: str
    difference: float

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"{self.bundle} differs from its checkpoint {self.checkpoint} by at most "
            f"{self.difference:.2f} points of mAP or R1 in any state"
        )


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        data: the data set.
        subjects: the models by their names in the report.
        digests: sha256 of each subject's checkpoint, also of the one that a bundle came from.
        examined: what was measured of each; of the shown one, everything.
        parities: of each bundle that is given together with its checkpoint.
        shown: the name of the model whose figures are shown.
        drawings: its figures.
    """

    data: DataSet
    subjects: dict[str, Subject]
    digests: dict[str, str]
    examined: dict[str, Examination]
    parities: list[Parity]
    shown: str
    drawings: list[Drawing]

    @property
    def graph(self) -> Graph:
        """Of the modalities that the data set and all models have."""
        return self.examined[self.shown].split.graph

    @property
    def states(self) -> dict[str, dict[State, Ranking]]:
        """Accuracy in every state, of each model."""
        return {name: examination.states for name, examination in self.examined.items()}

    @property
    def own(self) -> list[Ranking | None]:
        """Accuracy of each model where each sample is as it is, where that was measured."""
        return [examination.own for examination in self.examined.values()]


def check_report(out: Path, *, replace: bool) -> None:
    """See that a report can be written to `out`, before the work for it is done.

    Raises:
        ReportError: it cannot, or is there and `replace` is false.
    """
    check_output(out, REPORT, ReportError, replace=replace)
    check_output(out.with_suffix(".json"), FACTS, ReportError, replace=replace)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of `paths` that tell them apart.

    Raises:
        ReportError: two are the same.
    """
    whole = [path.absolute().parts for path in paths]
    for path, parts in zip(paths, whole, strict=True):
        if whole.count(parts) > 1:
            raise ReportError(f"{path}: is given twice")
    names: list[str] = []
    for parts in whole:
        length = next(
            n for n in range(1, len(parts) + 1) if sum(p[-n:] == parts[-n:] for p in whole) == 1
        )
        names.append("/".join(parts[-length:]))
    return names


def choose_shown(subjects: Mapping[str, Subject], wanted: Path | None) -> str:
    """The model whose figures are shown: `wanted`, else the last checkpoint, else the last bundle.

    Raises:
        ReportError: `wanted` is none of them.
    """
    if wanted is not None:
        for name, subject in subjects.items():
            if subject.path.absolute() == wanted.absolute():
                return name
        raise ReportError(f"{wanted}: figures are drawn of one of the models that are given")
    checkpoints = [name for name, subject in subjects.items() if subject.model is not None]
    return (checkpoints or list(subjects))[-1]


def make_report(
    data: DataSet,
    split: Split,
    subjects: Mapping[str, Subject],
    shown: str,
    *,
    seed: int,
    batch: int,
    workers: int,
    notify: Whole = lambda *_: None,
) -> Report:
    """Evaluate every model, and look closer at the one called `shown`.

    Args:
        data: where `split` is from.
        split: samples, some queries with a match; evaluated in the states that they support.
        subjects: the models, by name.
        shown: one of these names.
        seed: of what is missing at a rate, and of which samples are shown.
        batch: samples at once, for the recovered features.
        workers: processes that load images, likewise.
        notify: told how far it is.

    Raises:
        DataError: an image cannot be read; or there is no modality that models and samples have.
        RecoveryError: there is but one identity.
    """
    for subject in subjects.values():
        split = split.seen_by(subject.graph)
    examined: dict[str, Examination] = {}
    for name, subject in subjects.items():
        whole = name == shown
        examined[name] = examine(
            subject,
            split,
            rates=parse_rates(RATES) if whole else (),
            recovery=whole
            and subject.model is not None
            and can_compare(subject.model, all_samples(split)),
            seed=seed,
            batch=batch,
            workers=workers,
            notify=notify,
        )
    states = {name: examination.states for name, examination in examined.items()}
    drawings = draw_figures(
        split,
        examined[shown].embed,
        states,
        examined[shown].rates,
        model=subjects[shown].model,
        ranges=subjects[shown].ranges,
        seed=seed,
        notify=notify,
    )
    log = log_of_checkpoint(subjects[shown].path) if subjects[shown].model else None
    if log is not None:
        drawings.append(draw_curves(log.history, log.branch_epochs))
    digests = {
        name: subject.exported_from or file_digest(subject.path)
        for name, subject in subjects.items()
    }
    parities = _parities(split.graph, subjects, digests, states)
    return Report(data, dict(subjects), digests, examined, parities, shown, drawings)


def _parities(
    graph: Graph,
    subjects: Mapping[str, Subject],
    digests: Mapping[str, str],
    states: Mapping[str, Mapping[State, Ranking]],
) -> list[Parity]:
    found: list[Parity] = []
    for pair in combinations(subjects, 2):
        bundle, checkpoint = sorted(pair, key=lambda name: subjects[name].kind)
        kinds = subjects[bundle].kind, subjects[checkpoint].kind
        if kinds == ("bundle", "checkpoint") and digests[bundle] == digests[checkpoint]:
            measured = [
                (states[bundle][s], states[checkpoint][s])
                for s in graph.states
                if s in states[bundle]
            ]
            if not measured:
                continue
            difference = max(max(abs(a.map - b.map), abs(a.cmc(1) - b.cmc(1))) for a, b in measured)
            found.append(Parity(checkpoint, bundle, difference))
    return found


def report_facts(report: Report) -> dict[str, Any]:
    """The report's numbers, for a program; the models stand in the order that they were given."""
    models = {}
    for name, subject in report.subjects.items():
        rows = comparison_rows(report.graph, [report.states[name]])
        means = {row.name: dict(zip(("mAP", "R1"), row.values[0], strict=True)) for row in rows}
        models[name] = {
            "path": str(subject.path),
            "kind": subject.kind,
            "backbone": subject.config.backbone,
            "image_size": list(subject.config.image_size),
            "runs_on": subject.runs_on,
            "checkpoint_sha256": report.digests[name],
            "card": dict(subject.card),
            **report.examined[name].facts(),
            "means": {row.name: means[row.name] for row in rows if row.mean},
        }
    return {
        "format": FORMAT,
        "version": __version__,
        "data": {"root": str(report.data.root)} | _data_facts(report.data),
        "figures_of": report.shown,
        "parity": [asdict(parity) for parity in report.parities],
        "models": models,
    }


def _data_facts(data: DataSet) -> dict[str, Any]:
    return {
        "layout": data.name,
        "queries": len(data.query),
        "gallery": len(data.gallery),
        "identities": len({record.identity for record in data.gallery}),
        "cameras": len({record.camera for record in data.gallery}),
    }


def report_html(report: Report) -> str:
    """The report as one page that needs no other file and no script."""
    rows = comparison_rows(report.graph, list(report.states.values()), report.own)
    shown = report.examined[report.shown]
    return (
        templates("denet")
        .get_template("report.html.jinja")
        .render(
            report=report,
            shown=shown,
            left_out=shown.split.left_out(report.graph),
            version=__version__,
            data=_data_facts(report.data),
            rows=rows,
            best=[max(round(pair[0], 1) for pair in row.values) for row in rows],
            # The rows that say it all in short.
            summary=[
                (SUMMARY[r.kind], r)
                for r in rows
                if r.kind == "complete" or (r.mean and r.kind != "all states")
            ],
            place=list(report.subjects).index(report.shown),
            recovery_mean=mean_recovery(shown.recovery) if shown.recovery else None,
            drawings={drawing.name: drawing for drawing in report.drawings},
        )
    )


def write_report(report: Report, out: Path) -> None:
    """Write the page to `out`, and the facts beside it as .json, each whole or not at all.

    Raises:
        ReportError: one cannot be written.
    """
    facts = json.dumps(report_facts(report), indent=2) + "\n"
    write_output(out, report_html(report).encode(), REPORT, ReportError)
    write_output(out.with_suffix(".json"), facts.encode(), FACTS, ReportError)
