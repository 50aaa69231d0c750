"""Commands on bundles: inspect, doctor, embed, slim. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denet.console import out, print_json, progress, reported, say, status
from denet.options import (
    BackendOpt,
    BatchOpt,
    BundleArg,
    ImageOptions,
    ImagesArg,
    JsonOpt,
    PrecisionOpt,
    RangesOpt,
    RuntimeOptions,
    grouped,
)
from denet.progress import counted

if TYPE_CHECKING:
    from runtime.runtime import Runtime


@reported()
def slim(
    bundle: BundleArg,
    to: Annotated[Path, typer.Option("--out", help="The bundle to make, as NAME.denet.")],
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision that it holds, as int8-vnni or mixed-trt (default: what runs here)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --out.")] = False,
) -> None:
    """Copy one precision of a bundle, for a camera node."""
    from runtime.backends.choose import choose
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.signature import has_signature
    from runtime.bundle.slim import slim as run

    whole = Bundle.open(bundle)
    wanted = precision or choose(whole, "ort-cpu", "auto", None).variant
    made = run(whole, to, wanted, replace=force)
    sizes = [sum(file.bytes for file in b.manifest.files()) / 1e6 for b in (whole, made)]
    say(f"{to}: {wanted}, {sizes[1]:.1f} MB of {sizes[0]:.1f} MB")
    say_unsigned(to, was_signed=has_signature(bundle))


@reported()
def sign(
    bundle: BundleArg,
    key: Annotated[
        Path,
        typer.Option(help="An Ed25519 key of OpenSSH: a private one, or one that the agent has."),
    ],
) -> None:
    """Sign a bundle, and the TensorRT engines that were built for it here."""
    from runtime.backends.tensorrt.trust import sign_engines
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.signature import sign as run

    opened = Bundle.open(bundle)
    opened.verify()
    run(opened, key)
    engines = sign_engines(opened, key)
    more = f", and so are {engines} TensorRT engines that were built here" if engines else ""
    say(f"{bundle}: is signed{more}")


@reported()
def inspect(
    bundle: BundleArg,
    state: Annotated[str | None, typer.Option(help="State to show alone, such as rgb+tir.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Show a bundle's engines, and what runs in each missing state."""
    from runtime.bundle.bundle import Bundle
    from runtime.bundle.describe import bundle_facts, describe_bundle

    opened = Bundle.open(bundle)
    graph = opened.graph
    states = graph.states if state is None else (graph.parse(state),)
    if as_json:
        print_json(bundle_facts(opened, states))
    else:
        out.print(describe_bundle(opened, states))


@reported()
def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Say what would run this bundle, too.")
    ] = None,
    backend: BackendOpt = "auto",
    precision: PrecisionOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Show what this machine has, what can run on it, and what to install for more."""
    from msgspec import to_builtins

    from runtime.doctor import describe_diagnosis, diagnose

    with status("looking"):
        found = diagnose(bundle, backend, precision)
    if as_json:
        print_json(to_builtins(found))
    else:
        out.print(describe_diagnosis(found), crop=False)
    found.insist()


@reported()
@grouped
def embed(
    bundle: BundleArg,
    images: ImagesArg = None,
    *,
    single: ImageOptions,
    to: Annotated[Path | None, typer.Option("--out", help="The npz file to write.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Take only these modalities of each sample, as rgb+tir.")
    ] = None,
    every_state: Annotated[
        bool, typer.Option("--every-state", help="Embed each sample in each state it allows.")
    ] = False,
    batch: BatchOpt = 16,
    ranges: RangesOpt = None,
    running: RuntimeOptions,
    check: Annotated[bool, typer.Option("--check", help="Run the whole canary first.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep what ONNX Runtime makes of the engines for this CPU, so that they open "
            "faster the next time.",
        ),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Embed images with a bundle, each in the missing state it is in."""
    from runtime.bundle.bundle import Bundle
    from runtime.describe import embedded_facts, embedded_table
    from runtime.embeddings import check_output, embed_files, save_embeddings
    from runtime.loading import loaded, read_ranges
    from runtime.samples import choose_samples, missing_everywhere

    opened = Bundle.open(bundle)
    samples = choose_samples(
        images, single.files, state=state, every_state=every_state, graph=opened.graph
    )
    known = read_ranges(ranges, opened.graph)
    check_output(to)
    states = {opened.graph.state(sample.files) for sample in samples}
    with loaded(
        opened, running, batch, states=states, check=check, ranges=known, cache=cache
    ) as runtime:
        with progress("embedding", len(samples)) as notify:
            more = counted(notify, "embedding", len(samples))
            result = embed_files(runtime, samples, notify=more)
        if to is not None:
            save_embeddings(to, result, runtime)
        never = missing_everywhere(samples, runtime.graph)
        if as_json:
            print_json(
                {
                    "bundle": str(bundle),
                    "backend": runtime.backend,
                    "reason": runtime.reason,
                    "precision": runtime.precision,
                    "out": str(to) if to else None,
                    "missing_everywhere": never,
                    "states": embedded_facts(result),
                }
            )
            return
        out.print(embedded_table(result))
        if never:
            out.print(f"no sample has an image of {', '.join(never)}", highlight=False)
        print_choice(runtime)
        if to is not None:
            say(f"{to}: {len(samples)} embeddings of {runtime.dim}")


def say_unsigned(bundle: Path, *, was_signed: bool) -> None:
    """What to do where a bundle was made of one that was signed."""
    if was_signed:
        say(f"{bundle}: is another bundle than was signed: sign it again (`denet sign`)")


def print_choice(runtime: Runtime) -> None:
    """What a bundle runs on, and why."""
    out.print(f"{runtime.backend}, {runtime.precision}: {runtime.reason}", highlight=False)
