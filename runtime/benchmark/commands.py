"""`denet bench`: measure a bundle, and compare two reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.text import Text
from typer.core import TyperGroup

from denet.console import err, out, print_json, print_whole, reported, say
from denet.options import BundleArg, JsonOpt, ThreadsOpt, grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from denet.graph import State
    from runtime.benchmark.request import BenchmarkRequest
    from runtime.benchmark.result import BenchmarkReport
    from runtime.benchmark.sheet import Sheet
    from runtime.bundle.bundle import Bundle

Notify = Callable[[str], None]

ExportGraphs = Callable[[Path, "Bundle", Path, Notify], None]
"""Writes a graph of each state: (a checkpoint, the bundle made of it, a folder for them, told of
each)."""


class RunByDefault(TyperGroup):
    """`denet bench BUNDLE` is `denet bench run BUNDLE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command `run` where no other is named."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class MeasuringOptions:
    """What is measured, and how; as the user wrote it."""

    backend: Annotated[str, typer.Option(help="Backends, one or more, as ort-cpu,ort-cuda.")] = (
        "auto"
    )
    precision: Annotated[
        str,
        typer.Option(
            help="Precisions, one or more, as fp32,int8: run in turn, compared with the first."
        ),
    ] = "auto"
    only: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS",
            help="Parts to measure: some of states, batches, stream, dropout, start, images, "
            "limits (default: all).",
        ),
    ] = None
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each state, at least.")] = 100
    batches: Annotated[str, typer.Option(help="Samples at once, for throughput.")] = "1,2,4,8,16"
    missing_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a stream's samples that lack something.")
    ] = 0.5
    monolithic: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Compare with one graph of each state, too: a folder with rgb+tir.onnx and so "
            "on, or the checkpoint to export them from, which needs torch.",
        ),
    ] = None
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Images to decode, in RGB/, NI/ and TI/ (default: drawn)."
        ),
    ] = None

    def request(
        self, stream: Sequence[State], graphs: Path | None, *, seed: int, threads: int | None
    ) -> BenchmarkRequest:
        """The same, read: with the states of the stream, and the folder of graphs."""
        from runtime.benchmark.request import read_request

        return read_request(
            backend=self.backend,
            precision=self.precision,
            parts=self.only,
            batches=self.batches,
            threads=threads,
            rounds=self.rounds,
            stream=stream,
            missing_rate=self.missing_rate,
            seed=seed,
            images=self.images,
            monoliths=graphs,
        )


@dataclass(frozen=True)
class OutputOptions:
    """Where the report is written."""

    to: Annotated[
        Path | None, typer.Option("--out", metavar="JSON", help="Write the report, to compare.")
    ] = None
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a page with tables and plots, too.")
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is at --out and --report.")
    ] = False

    def check(self) -> None:
        """See that everything can be written, before the work for it is done."""
        from denet.marks import REPORT
        from denet.outputs import check_output
        from runtime.benchmark.errors import BenchmarkError
        from runtime.benchmark.page import check_page
        from runtime.benchmark.result import RESULT

        if self.to is not None:
            check_output(self.to, RESULT, BenchmarkError, replace=self.force)
        if self.report is not None:
            check_output(self.report, REPORT, BenchmarkError, replace=self.force)
            check_page()

    def write(self, found: BenchmarkReport, encoded: bytes) -> None:
        """Write what was found."""
        from denet.marks import REPORT
        from denet.outputs import write_output
        from runtime.benchmark.errors import BenchmarkError
        from runtime.benchmark.page import page
        from runtime.benchmark.result import RESULT

        if self.to is not None:
            write_output(self.to, encoded, RESULT, BenchmarkError, replace=self.force)
        if self.report is not None:
            html = page(found).encode()
            write_output(self.report, html, REPORT, BenchmarkError, replace=self.force)


def bench_commands(*, export_graphs: ExportGraphs) -> typer.Typer:
    """The commands, given how a checkpoint becomes graphs, which needs torch."""
    bench = typer.Typer(
        cls=RunByDefault,
        help="Measure a bundle on this machine: denet bench BUNDLE; or compare two reports.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )

    @bench.command("run")
    @reported(extra="train")
    @grouped
    def run(
        bundle: BundleArg,
        *,
        asked: MeasuringOptions,
        written: OutputOptions,
        seed: Annotated[
            int, typer.Option(min=0, help="Seed of the stream's states and of what is drawn.")
        ] = 0,
        threads: ThreadsOpt = None,
        as_json: JsonOpt = False,
    ) -> None:
        """Measure every missing state, every engine, and how near to its limits this machine is."""
        from denet.missing import draw_states
        from runtime.benchmark.result import encode
        from runtime.benchmark.run import bench as measure
        from runtime.benchmark.stream import SAMPLES
        from runtime.bundle.bundle import Bundle

        written.check()
        opened = Bundle.open(bundle)
        stream = draw_states(opened.graph, SAMPLES, asked.missing_rate, seed)
        with (
            still_progress() as notify,
            folder_of_graphs(
                asked.monolithic, lambda path, folder: export_graphs(path, opened, folder, notify)
            ) as graphs,
        ):
            request = asked.request(stream, graphs, seed=seed, threads=threads)
            found = measure(opened, request, notify=notify)
        encoded = encode(found)
        written.write(found, encoded)
        if as_json:
            print(encoded.decode(), end="")
            return
        print_report(found)
        for path in filter(None, (written.to, written.report)):
            say(f"{path}: the report")

    bench.command("compare")(compare)
    return bench


@contextmanager
def folder_of_graphs(
    path: Path | None, export: Callable[[Path, Path], None]
) -> Iterator[Path | None]:
    """What `path` names, or a folder for a while, with what `export` makes of a checkpoint."""
    if path is None or not path.is_file():
        yield path
        return
    with TemporaryDirectory() as folder:
        export(path, Path(folder))
        yield Path(folder)


@reported()
def compare(
    old: Annotated[Path, typer.Argument(metavar="A.json", help="A report of `denet bench --out`.")],
    new: Annotated[Path, typer.Argument(metavar="B.json", help="A later report.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="RATIO",
            help="Exit with 1 where something takes more than so many times as much, beyond the "
            "noise: 1.10 allows a tenth more.",
        ),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show what changed between two reports, and whether it is more than noise."""
    from runtime.benchmark.compare import compare as run
    from runtime.benchmark.compare import comparison_facts, comparison_sheet
    from runtime.benchmark.files import read_report

    found = run(read_report(old), read_report(new))
    worse = [] if fail_above is None else found.worse_than(fail_above)
    if as_json:
        print_json(comparison_facts(found, worse))
    else:
        print_sheet(comparison_sheet(found, fail_above))
        for line in (*found.differences, *(change.describe() for change in worse)):
            say(line)
    if worse:
        raise typer.Exit(1)


def print_report(found: BenchmarkReport) -> None:
    """All tables of a benchmark, and what they come to."""
    from runtime.benchmark.summary import summary
    from runtime.benchmark.tables import sheets

    for sheet in sheets(found):
        print_sheet(sheet)
    for name, value in (*summary(found).items(), *(("note", note) for note in found.notes)):
        say(f"{name}: {value}")


def print_sheet(sheet: Sheet) -> None:
    """A table of a benchmark, its title above and what it means below."""
    out.print(sheet.title, style="bold", highlight=False)
    print_whole(sheet.for_terminal())
    if sheet.note:
        out.print(sheet.note, style="dim", highlight=False)
    out.print()


@contextmanager
def still_progress() -> Iterator[Notify]:
    """One line on standard error that changes only when it is told to: what moves by itself takes
    time from what is measured."""
    with Live(console=err, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(Text(text), refresh=True)
