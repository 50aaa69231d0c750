"""`denet verify`, and what `denet export` does for the model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from denet.console import out, print_json, progress, reported, say
from denet.options import BundleArg, JsonOpt, RuntimeOptions, grouped
from denet.progress import stepwise
from runtime.commands import print_choice
from runtime.loading import loaded

if TYPE_CHECKING:
    from denet.checkpoint import Checkpoint
    from denet.model import DENet
    from runtime.bundle.card import ModelCard

NeckOpt = Annotated[
    str | None,
    typer.Option(
        help="What is compared: [b]before[/b] or [b]after[/b] the BN neck, or before it and "
        "[b]centred[/b], where states meet other states. Default: as the checkpoint says."
    ),
]


def with_neck(model: DENet, neck: str | None) -> DENet:
    """The model with another choice of what retrieval compares; nothing of that is trained.

    Raises:
        ConfigError: there is no such choice.
    """
    from typing import cast, get_args

    from denet.config import ConfigError, Neck

    if neck is None:
        return model
    if neck not in get_args(Neck):
        raise ConfigError(f"--neck {neck}: choose from {', '.join(get_args(Neck))}")
    model.retrieve_by(cast(Neck, neck))
    return model


@dataclass(frozen=True)
class CardOptions:
    """What the model card says."""

    card: Annotated[
        Path | None,
        typer.Option(
            help="What people have to say of the model, as TOML: name, licence, limits and so on.",
            rich_help_panel="Model card",
        ),
    ] = None
    test_data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Data whose test split the bundle is measured on in FP32, in every state.",
            rich_help_panel="Model card",
        ),
    ] = None

    def begun(self, checkpoint: Checkpoint) -> ModelCard:
        """The card before anything is measured; what was asked for is seen to be usable.

        Args:
            checkpoint: that is exported.

        Raises:
            CardError: the file cannot be read, or is no card.
            DataError: there is nothing to measure on.
        """
        from runtime.bundle.card import CardText, ModelCard, read_card

        if self.test_data is not None:
            from export.card import check_test_data

            check_test_data(self.test_data, checkpoint.model.graph)
        text = CardText() if self.card is None else read_card(self.card)
        return ModelCard(text=text, training=checkpoint.provenance)

    def measure(self, bundle: Path, threads: int | None) -> None:
        """Measure a bundle that has no name yet, if that was asked for, and say how it did."""
        if self.test_data is None:
            return
        from export.card import measure_bundle

        with progress("testing") as notify:
            accuracy = measure_bundle(bundle, self.test_data, threads, notify)
        states = ", ".join(f"{name} {map_:.1f}" for name, (map_, _) in accuracy.states.items())
        say(f"mAP on the test split of {self.test_data}, %: {states}")


@reported(extra="train")
@grouped
def verify(
    bundle: BundleArg,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with this checkpoint, too, engine by engine."),
    ] = None,
    *,
    running: RuntimeOptions,
    as_json: JsonOpt = False,
) -> None:
    """Check a bundle's files, and its golden inputs on this machine."""
    from runtime.bundle.bundle import Bundle
    from runtime.describe import canary_table

    opened = Bundle.open(bundle)
    opened.verify()
    with loaded(opened, running, states=()) as runtime:
        canary = runtime.check()
        facts: dict[str, Any] = {
            "bundle": str(bundle),
            "backend": runtime.backend,
            "precision": runtime.precision,
            "signed_by": None if running.key is None else str(running.key),
            "canary": canary.cosines,
        }
        if against is not None:
            from export.parity import check_against, parity_steps

            steps = parity_steps(runtime.graph)
            with progress("comparing", steps) as notify:
                worst = check_against(against, runtime, notify=stepwise(notify, steps))
            facts["against"] = {"checkpoint": str(against)} | worst
        if as_json:
            print_json(facts)
            return
        say(f"{bundle}: all files are intact")
        if running.key is not None:
            say(f"{bundle}: is signed by {running.key}")
        print_choice(runtime)
        out.print(canary_table(canary))
        if against is not None:
            say(
                f"{against}: {worst['comparisons']} comparisons of engines and states agree; "
                f"least cosine {worst['min_cosine']:.8f}, "
                f"largest relative error {worst['max_relative']:.1e}"
            )
