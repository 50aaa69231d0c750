"""The scores by which a fleet compares tracks: a file that is named, or what its bundle carries."""

from __future__ import annotations

from pathlib import Path

from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import File
from runtime.fleet.settings import QuestionSettings, required

WHY = "an answer says how many strangers look so, which `denet gallery calibrate` measures"


def score_file(questions: QuestionSettings, why: str = WHY) -> Path:
    """Where the scores are.

    Args:
        questions: of the configuration.
        why: they are needed, for a message.

    Raises:
        FleetError: no file is named, and no bundle that carries some.
        BundleError: the bundle or its scores are damaged.
    """
    if questions.scores is None and questions.bundle is not None:
        bundle = Bundle.open(Path(questions.bundle))
        carried = bundle.manifest.scores
        if isinstance(carried, File):
            bundle.read(carried)  # they are what the manifest says
            return bundle.root / carried.path
        why = f"{why}; {questions.bundle} carries none"
    return Path(required(questions.scores, "questions.scores", why))
