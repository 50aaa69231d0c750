"""A model to start from: random or ImageNet weights, with batch statistics that fit them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.cmft import CMFT
from denet.config import ModelConfig
from denet.dem import DEMEdge
from denet.graph import branch_engine, cmft_engine
from denet.model import DENet
from denet.pretrained import backbone_of, keep_statistics, load_into
from denet.weights import find_weights

_BATCHES, _BATCH = 2, 8


def initial_model(
    config: ModelConfig,
    *,
    seed: int,
    pretrained: bool | str,
    notify: Callable[[str], None] = lambda _: None,
) -> DENet:
    """An untrained DENet in evaluation mode; equal arguments give equal weights.

    Fresh batch normalization assumes inputs of mean 0 and variance 1. In evaluation mode that
    lets the activations of a random ResNet grow layer by layer until CBAM's gates saturate, and
    no number that such a network makes says anything about the code that runs it. So fresh
    statistics are taken from random images once.

    Args:
        config: of the model.
        seed: of what is random.
        pretrained: start the branches from the ImageNet weights of torchvision or timm; or from a
            file of weights, or those that a package carries (`denet.weights.PACKAGE`).
        notify: told what was loaded from a file, in one line.

    Raises:
        ConfigError: the configuration cannot be built, or the weights cannot be had or do not fit.
    """
    weights = find_weights(pretrained, config.backbone) if isinstance(pretrained, str) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DENet(config, pretrained=pretrained is True).eval()
        if weights is not None:
            notify(load_into(model, weights))
        elif pretrained:
            for m in model.graph.modalities:
                keep_statistics(backbone_of(model, m))
        _settle(model, torch.Generator().manual_seed(seed))
    return model


def silence_edges(model: DENet) -> None:
    """Let every edge of the DEM add nothing.

    An edge is a residual on a feature that has learned nothing yet; random ones are noise of the
    feature's own size, in which identities are hard to learn. `initial_model` leaves them random,
    because a model that is to test the machinery needs edges that do something.
    """
    for engine in model.engines.values():
        if isinstance(engine, DEMEdge):
            engine.silence()


def random_images(
    batch: int, size: tuple[int, int], generator: torch.Generator | None = None
) -> Tensor:
    """Network input (batch, 3, H, W) with the statistics of a photograph, not of white noise:
    blobs of colour under fine grain, mean 0, variance about 1."""
    coarse = torch.randn(batch, 3, 8, 4, generator=generator)
    smooth = functional.interpolate(coarse, size, mode="bicubic")
    return smooth + 0.2 * torch.randn(batch, 3, *size, generator=generator)


def _settle(model: DENet, generator: torch.Generator) -> None:
    # From a generator of its own: the images, and so the branches, are alike in every composition.
    fresh = [
        m
        for m in model.engines.modules()
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and not m.num_batches_tracked
    ]
    for norm in fresh:
        norm.train()
        norm.momentum = None  # the plain average over the batches
    with torch.no_grad():
        for _ in range(_BATCHES):
            made = {
                m: model.engines[branch_engine(m)](
                    random_images(_BATCH, model.config.image_size, generator)
                )
                for m in model.graph.modalities
            }
            for source, target in model.graph.pairs:
                if cmft_engine(source, target) in model.engines:
                    cmft = model.engines[cmft_engine(source, target)]
                    assert isinstance(cmft, CMFT)
                    cmft(made[source].feature)
                    cmft.down.observe(made[target].pooled)
    for norm in fresh:
        norm.eval()
        norm.momentum = 0.1
