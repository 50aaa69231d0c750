"""Where things lie in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SAMPLES = DOCS / "samples"
FAKE = ROOT / "tests" / "fake"


def as_written(path: Path) -> tuple[float, ...]:
    """What says that a file was neither written nor replaced; when it was last read does not."""
    found = path.stat()
    return (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
