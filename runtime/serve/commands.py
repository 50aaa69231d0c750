"""`denet serve` writes a bundle for Triton, `denet probe` asks a server of one whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from denet.console import out, print_json, reported, say
from denet.options import BatchOpt, BundleArg, JsonOpt, RuntimeOptions, grouped


@reported()
@grouped
def serve(
    bundle: BundleArg,
    to: Annotated[
        Path,
        typer.Option(
            "--out", help="The model repository; other models in it stay. Made if need be."
        ),
    ],
    name: Annotated[str, typer.Option(help="What the model is called there.")] = "denet",
    batch: BatchOpt = 16,
    delay: Annotated[
        float,
        typer.Option(
            min=0, max=1000, metavar="MS", help="For how long a sample waits at most for others."
        ),
    ] = 2.0,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Processes that embed; cores are divided among them, engines are not.",
        ),
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model of that name that this command wrote.")
    ] = False,
    *,
    running: RuntimeOptions,
) -> None:
    """Write a bundle as a model for NVIDIA Triton.

    The server puts the crops of many cameras into batches."""
    from runtime.bundle.bundle import Bundle
    from runtime.serve.repository import ServeOptions, write_repository

    options = ServeOptions(
        running.backend, running.precision, running.threads, batch, delay, processes, name
    )
    opened = Bundle.open(bundle)
    model = write_repository(opened, to, options, key=running.key, replace=force)
    size = sum(file.bytes for file in opened.manifest.files())
    say(f"{model}: {', '.join(opened.graph.modalities)}, {size / 1e6:.0f} MB")
    say(f"start Triton with --model-repository={to} and --load-model={name}: see docs/serving.md")


@reported()
def probe(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Of a server, as grpc://127.0.0.1:8001.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE", help="Embed this bundle's golden inputs there, and compare."
        ),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Ask a server of a bundle for embeddings in all states.

    Whether it says that it is ready tells little."""
    from runtime.bundle.bundle import Bundle
    from runtime.describe import canary_table
    from runtime.serve.remote import RemoteRuntime

    golden = None if against is None else Bundle.open(against)
    with RemoteRuntime.connect(address) as runtime:
        canary = runtime.check(against=golden)
        manifest = runtime.bundle.manifest
        facts: dict[str, Any] = {
            "server": runtime.address.name,
            "bundle": runtime.digest,
            "checkpoint": manifest.checkpoint_sha256,
            "projection": manifest.projection_digest,
            "dim": runtime.dim,
            "modalities": list(runtime.graph.modalities),
            "backend": runtime.backend,
            "precision": runtime.variant,
            "batch": runtime.max_batch,
            "canary": None if canary is None else canary.cosines,
        }
    if as_json:
        print_json(facts)
        return
    say(
        f"{runtime.address.name}: embeds in all states by bundle {runtime.digest[:12]} "
        f"on {runtime.backend} in {runtime.variant}"
    )
    if canary is not None:
        out.print(canary_table(canary))
