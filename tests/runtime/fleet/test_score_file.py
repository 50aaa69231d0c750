"""By which scores a fleet compares: those that are named, before those of its bundle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runtime import Bundle, BundleError
from runtime.bundle.manifest import File
from runtime.fleet.errors import FleetError
from runtime.fleet.score_file import score_file
from runtime.fleet.settings import QuestionSettings
from runtime.gallery.scores import carried_scores, read_scores
from runtime.gallery.space import Space


def test_a_bundle_that_carries_scores_needs_no_file(scored_path: Path) -> None:
    bundle = Bundle.open(scored_path)
    found = score_file(QuestionSettings(bundle=str(scored_path)))
    carried = carried_scores(bundle)
    assert carried is not None
    assert read_scores(found, Space.of(bundle.manifest)).table == carried.table


def test_what_is_named_comes_first(scored_path: Path, tmp_path: Path) -> None:
    named = tmp_path / "scores.json"
    assert score_file(QuestionSettings(scores=str(named), bundle=str(scored_path))) == named


def test_without_any_it_says_so(bundle_path: Path) -> None:
    with pytest.raises(FleetError, match=r"questions\.scores: is missing"):
        score_file(QuestionSettings())
    with pytest.raises(FleetError, match=rf"questions\.scores: is missing.*{bundle_path.name}"):
        score_file(QuestionSettings(bundle=str(bundle_path)))


def test_scores_that_are_damaged_are_refused(scored_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(scored_path, tmp_path / "copy.denet", copy_function=os.link))
    carried = Bundle.open(copy).manifest.scores
    assert isinstance(carried, File)
    path = copy / carried.path
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b"0", b"1", 1))
    with pytest.raises(BundleError, match=path.name):
        score_file(QuestionSettings(bundle=str(copy)))
