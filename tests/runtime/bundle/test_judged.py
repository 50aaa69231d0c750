"""What a bundle knows of its accuracy, from a calibration to a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from calibration import Outcome
from runtime import Bundle
from runtime.bundle.manifest import MANIFEST, Manifest, Mixed, StateEvidence, parse_manifest
from runtime.bundle.slim import slim
from runtime.seal import sealed


def evidence(fp32: float | None, changed: float | None) -> dict[str, StateEvidence]:
    return {"tir": StateEvidence(cosine=0.99, overlap=0.9, map_fp32=fp32, map=changed)}


def again(manifest: Manifest) -> Manifest:
    return parse_manifest("x", sealed(manifest))


def test_a_calibration_tells_the_map_of_every_variant(outcome: Outcome) -> None:
    manifest = outcome.bundle.manifest
    assert manifest.judged is not msgspec.UNSET
    assert set(manifest.judged) == set(manifest.variants) - {"fp32"}
    for name in manifest.judged:
        effects = outcome.whole[name]
        assert manifest.maps(name) == {s.name: e.map for s, e in effects.items()}
        assert manifest.maps("fp32") == {s.name: e.map_fp32 for s, e in effects.items()}
    assert len(manifest.maps("fp32")) == 7


def test_a_bundle_without_says_nothing_of_it_and_is_read_by_earlier_versions(
    bundle: Bundle,
) -> None:
    stored = json.loads((bundle.root / MANIFEST).read_bytes())
    assert "judged" not in stored  # a field that they would refuse
    assert bundle.manifest.maps("fp32") == bundle.manifest.maps("int8-vnni") == {}


def test_what_an_earlier_version_calibrated_is_known_of_its_choice(bundle: Bundle) -> None:
    forms = dict.fromkeys(bundle.graph.engines, "fp32")
    mixed = Mixed(engines=forms, budget=0.5, labelled=True, states=evidence(70, 69), reasons={})  # type: ignore[arg-type]
    earlier = msgspec.structs.replace(bundle.manifest, mixed={"trt": mixed})
    for manifest in (earlier, again(earlier)):
        assert manifest.maps("mixed-trt") == {"tir": 69}
        assert manifest.maps("fp32") == {"tir": 70}
        assert manifest.maps("int8-trt") == {}


@pytest.mark.parametrize("judged", [{}, {"int8-trt": evidence(None, None)}])
def test_without_labels_there_is_no_map(
    bundle: Bundle, judged: dict[str, dict[str, StateEvidence]]
) -> None:
    manifest = again(msgspec.structs.replace(bundle.manifest, judged=judged))
    assert manifest.maps("int8-trt") == manifest.maps("fp32") == {}


@pytest.mark.parametrize("wanted", ["fp32", "fp16", "mixed-trt"])
def test_a_slim_bundle_knows_its_own(outcome: Outcome, tmp_path: Path, wanted: str) -> None:
    whole = outcome.bundle
    slimmed = slim(whole, tmp_path / "slim.denet", wanted)
    assert slimmed.manifest.maps(wanted) == whole.manifest.maps(wanted) != {}
    assert slimmed.manifest.judged is not msgspec.UNSET
    assert len(slimmed.manifest.judged) == 1
