"""Initial weights."""

from __future__ import annotations

import torch

from denet.graph import RGB_NIR_TIR
from denet.initialize import initial_model
from denet.model import DENet
from tests.denet.networks import equal_weights

MODALITIES = RGB_NIR_TIR.modalities


def test_equal_seeds_make_equal_models_whatever_the_global_generator(model: DENet) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = initial_model(model.config, seed=0, pretrained=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal_weights(again, model)
    assert not again.training
    assert not any(module.training for module in again.modules())


def test_another_seed_makes_another_model(model: DENet) -> None:
    other = initial_model(model.config, seed=1, pretrained=False).state_dict()
    first = model.state_dict()
    for engine in model.engines:
        mine = [name for name in first if name.startswith(f"engines.{engine}.")]
        assert mine
        assert any(not torch.equal(first[name], other[name]) for name in mine)


@torch.no_grad()
def test_initial_statistics_keep_activations_in_range(model: DENet) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(4, 3, *model.config.image_size, generator=generator)
    parts = model(dict.fromkeys(MODALITIES, image), RGB_NIR_TIR.state(MODALITIES)).parts
    assert parts.isfinite().all()
    assert 0.01 < parts.std() < 100
