"""`denet init`: an untrained checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denet.console import reported, say
from denet.options import ConfigOpt, ModalitiesOpt, PresetOpt, WeightsOpt


@reported(extra="train")
def init(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to write (.safetensors).")],
    preset: PresetOpt = None,
    config: ConfigOpt = None,
    backbone: Annotated[
        str | None, typer.Option(help="Backbone, instead of the configuration's.")
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="ImageNet weights for the backbones.")
    ] = False,
    weights: WeightsOpt = None,
    modalities: ModalitiesOpt = None,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a checkpoint that is there.")
    ] = False,
) -> None:
    """Write an untrained checkpoint, for trying things."""
    from denet.checkpoint import check_checkpoint, save_checkpoint
    from denet.config import ConfigError
    from denet.initialize import initial_model
    from denet.recipe import model_config

    if weights is not None and pretrained:
        raise ConfigError("--weights and --pretrained exclude each other: one says what to load")
    check_checkpoint(checkpoint, replace=force)
    model = initial_model(
        model_config(preset, config, backbone, modalities),
        seed=seed,
        pretrained=weights or pretrained,
        notify=say,
    )
    save_checkpoint(model, checkpoint, replace=force)
    say(f"{checkpoint}: untrained {model.config.backbone} of {', '.join(model.graph.modalities)}")
