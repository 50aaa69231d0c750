"""The paper's own form is exported, too: edges without a norm, CMFTs that place nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from denet.initialize import initial_model, random_images
from denet.recipe import PRESETS
from export import export_bundle
from runtime import Runtime
from tests.conftest import TINY

SIZES = ("backbone", "image_size", "cmft_width", "dem_channels")
PAPER = msgspec.structs.replace(
    PRESETS["paper"].model, **{name: getattr(TINY, name) for name in SIZES}
)


def test_a_bundle_of_the_paper_s_form_embeds_as_its_network(tmp_path: Path) -> None:
    model = initial_model(PAPER, seed=0, pretrained=False)
    assert not [name for name in model.state_dict() if "down.gain" in name or "down.real" in name]
    bundle = export_bundle(model, tmp_path / "paper.denet", checkpoint_sha256="1" * 64)
    assert set(bundle.manifest.engines) == set(model.graph.engines)
    images = {m: random_images(2, PAPER.image_size) for m in model.graph.modalities}
    with Runtime.load(bundle, "ort-cpu") as runtime:
        for state in model.graph.states:
            samples = [{m: images[m][i].numpy() for m in state.available} for i in range(2)]
            found = runtime.composer.run_tensors(samples)
            with torch.no_grad():
                expected = model({m: images[m] for m in state.available}, state).parts
            np.testing.assert_allclose(
                found,
                expected.transpose(0, 1).numpy(),
                rtol=1e-3,
                atol=1e-4 * float(expected.abs().max()),
            )
