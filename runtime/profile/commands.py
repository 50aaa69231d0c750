"""`denet profile`: the time of each layer in each state, a trace, and what INT8 costs by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import reported, say
from denet.options import BundleArg, JsonOpt, RuntimeOptions, grouped
from runtime.benchmark.commands import print_sheet, still_progress

if TYPE_CHECKING:
    from runtime.bundle.bundle import Bundle
    from runtime.profile.result import ErrorReport, ProfileReport

Notify = Callable[[str], None]

FindErrors = Callable[[Notify], "ErrorReport"]
"""Finds what quantizing each layer costs, and tells of each layer."""

PrepareErrors = Callable[["Bundle", str, Path | None, int | None], FindErrors]
"""Sees that they can be found: (a bundle, its variant, a folder of images or None, threads)."""


@dataclass(frozen=True)
class ProfilingOptions:
    """What is profiled, and how much of it is shown."""

    state: Annotated[
        list[str] | None,
        typer.Option(help="A state to profile, as rgb+tir; repeat it (default: all)."),
    ] = None
    batch: Annotated[int, typer.Option(min=1, max=256, help="Samples at once.")] = 1
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each state that count.")] = 20
    layers: Annotated[int, typer.Option(min=1, help="Layers that a table shows.")] = 15
    errors: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANT",
            help="What quantizing each layer of a variant of the bundle costs, as int8-trt; "
            "[b]here[/b]: of what runs here.",
        ),
    ] = None
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images for --errors, in RGB/, NI/ and TI/ (default: the golden inputs).",
        ),
    ] = None


@dataclass(frozen=True)
class ProfileFiles:
    """Where a profile is written."""

    to: Annotated[
        Path | None, typer.Option("--out", metavar="JSON", help="Write all layers as JSON.")
    ] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON", help="Write a trace of streams and host, for ui.perfetto.dev."
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is at --out and --trace.")
    ] = False

    def check(self) -> None:
        """See that everything can be written, before the work for it is done."""
        from denet.outputs import check_output
        from runtime.profile.errors import ProfileError
        from runtime.profile.result import PROFILE
        from runtime.profile.timeline import TRACE

        if self.to is not None and self.to == self.trace:
            raise ProfileError(f"{self.to}: is named for the profile and for the trace: choose two")
        for path, kind in ((self.to, PROFILE), (self.trace, TRACE)):
            if path is not None:
                check_output(path, kind, ProfileError, replace=self.force)

    def write(self, profile: bytes, trace: bytes) -> None:
        """Write what was found."""
        from denet.outputs import write_output
        from runtime.profile.errors import ProfileError
        from runtime.profile.result import PROFILE
        from runtime.profile.timeline import TRACE

        for path, content, kind in ((self.to, profile, PROFILE), (self.trace, trace, TRACE)):
            if path is not None:
                write_output(path, content, kind, ProfileError, replace=self.force)


def profile_command(*, prepare_errors: PrepareErrors) -> Callable[..., None]:
    """The command, given how errors by layer are found, which needs onnx."""

    @reported(extra="calibrate")
    @grouped
    def profile(
        bundle: BundleArg,
        *,
        asked: ProfilingOptions,
        running: RuntimeOptions,
        written: ProfileFiles,
        as_json: JsonOpt = False,
    ) -> None:
        """Time every layer in every state, trace streams and host, rank layers by INT8 error."""
        import msgspec

        from runtime.backends.choose import choose
        from runtime.bundle.bundle import Bundle
        from runtime.profile.errors import ProfileError
        from runtime.profile.result import encode
        from runtime.profile.run import ProfileRequest
        from runtime.profile.run import profile as run

        if asked.images is not None and asked.errors is None:
            raise ProfileError(f"--images {asked.images}: is for --errors, which is not asked for")
        written.check()
        opened = Bundle.open(bundle)
        request = ProfileRequest(
            backend=running.backend,
            precision=running.precision,
            threads=running.threads,
            key=running.key,
            states=None if asked.state is None else tuple(asked.state),
            batch=asked.batch,
            rounds=asked.rounds,
        )
        find_errors = None
        if asked.errors is not None:
            variant = asked.errors
            if variant == "here":
                chosen = choose(opened, running.backend, running.precision, running.threads)
                variant = chosen.variant
            find_errors = prepare_errors(opened, variant, asked.images, running.threads)
        with still_progress() as notify:
            found, timeline = run(opened, request, notify=notify)
            if find_errors is not None:
                found = msgspec.structs.replace(found, errors=find_errors(notify))
        encoded = encode(found)
        written.write(encoded, timeline.encode())
        if as_json:
            print(encoded.decode(), end="")
            return
        print_profile(found, asked.layers)
        if written.to is not None:
            say(f"{written.to}: all layers")
        if written.trace is not None:
            say(f"{written.trace}: open it at https://ui.perfetto.dev or in chrome://tracing")

    return profile


def print_profile(found: ProfileReport, rows: int) -> None:
    """All tables of a profile."""
    from runtime.profile.tables import sheets

    for sheet in sheets(found, rows):
        print_sheet(sheet)
    for note in found.notes:
        say(f"note: {note}")
    machine = found.machine
    say(f"machine: {machine.name}; {machine.throttled or 'not seen to be slowed down'}")
