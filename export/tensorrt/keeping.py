"""An engine in its place on disk: whether it is up to date, and building it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from denet.files import written_whole
from denet.temporary import settle_within
from export.tensorrt.facts import build_engine, write_facts
from export.tensorrt.request import BuildError, BuildProgress, BuildRequest, GraphSource
from runtime.backends.tensorrt.files import (
    AbsentError,
    BuildSpec,
    BuiltEngine,
    EngineFileError,
    engine_path,
    facts_path,
    open_engine,
    why_stale,
)
from runtime.backends.tensorrt.trust import built_here, with_code

try:
    import fcntl
except ImportError:  # Windows; there, nobody is kept from building twice at once
    fcntl = None  # type: ignore[assignment]

TIMING_CACHE = "timing.cache"
LOCK = ".lock"

Notify = Callable[[str, float, int], None]
"""(what is done, how many engines are, of how many)."""


@dataclass(frozen=True)
class Result:
    """One engine: as it is on disk, and whether it was built now or was up to date."""

    engine: BuiltEngine
    built: bool


@dataclass(frozen=True)
class Checked:
    """How near an engine comes to its ONNX file.

    Attributes:
        cosine: the least of its outputs'.
        least: that is allowed.
    """

    cosine: float
    least: float

    @property
    def good(self) -> bool:
        """False for NaN as well."""
        return self.cosine >= self.least


def up_to_date(root: Path, spec: BuildSpec, rebuild: bool) -> BuiltEngine | None:
    """The engine beside the bundle at `root`, if it is what `spec` wants; None if it is to be
    built.

    Raises:
        BuildError: it is another one, and may not be replaced.
    """
    path = engine_path(root, spec.machine, spec.form, spec.engine)
    try:
        engine = open_engine(path)
        reason = why_stale(engine.facts, spec)
        if reason is None and not built_here()(engine.facts):
            reason = "it was not built on this machine"
        if reason is None:
            engine.read()
            return engine
        stale = f"{path}: stale: {reason}"
    except AbsentError:
        return None
    except EngineFileError as error:
        stale = str(error)
    if not rebuild:
        raise BuildError(f"{stale}; nothing was built: leave out --no-rebuild to replace it")
    return None


def within(notify: Notify, what: str, number: int, total: int) -> Callable[[BuildProgress], None]:
    """Told of one engine, tells of all: it is the one with this `number` of `total`."""
    return lambda at: notify(f"{what}: {at.phase}", number + at.done, total)


def build_in_place(
    root: Path,
    spec: BuildSpec,
    where: str,
    notify: Callable[[BuildProgress], None],
    graph: GraphSource | None = None,
) -> BuiltEngine:
    """Build an engine and put it in its place: first the engine, then its facts. Whatever happens
    between, the old facts are not of the new engine.

    Args:
        root: of the bundle beside which it lies.
        spec: what it is built from, for and how.
        where: what it is, for messages.
        notify: told how far it is.
        graph: to build instead of an engine of the bundle.

    Raises:
        BuildError: it was not built.
    """
    path = engine_path(root, spec.machine, spec.form, spec.engine)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(facts_path(path)) as facts_temporary:
        with written_whole(path) as temporary:
            request = BuildRequest(
                bundle="" if graph else str(root),
                spec=spec,
                output=str(temporary),
                timing_cache=str(path.parent.parent / TIMING_CACHE),
                graph=graph,
            )
            try:
                facts = build_engine(request, notify)
            except BuildError as error:
                raise BuildError(f"{where}: not built: {error}") from None
        facts = with_code(facts)
        write_facts(facts_temporary.parent, facts_temporary.name, facts)
    return BuiltEngine(path, facts)


def judged(result: Result, checked: Checked) -> Result:
    """An engine that was compared with its ONNX file, and now says how near it comes.

    Raises:
        BuildError: it does not come near; it is no longer taken for built.
    """
    engine = result.engine
    if not checked.good:
        facts_path(engine.path).unlink()
        raise BuildError(
            f"{engine.path}: was built, and does not compute what its ONNX file does: cosine "
            f"{checked.cosine:.5f}, at least {checked.least} is wanted: it will not be used. "
            "Try another --opt-level"
        )
    facts = with_code(msgspec.structs.replace(engine.facts, cosine=round(checked.cosine, 7)))
    with written_whole(facts_path(engine.path)) as temporary:
        write_facts(temporary.parent, temporary.name, facts)
    return Result(BuiltEngine(engine.path, facts), result.built)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make `folder`, and let no other process build into it meanwhile; what builds left that were
    killed is taken away.

    Raises:
        BuildError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BuildError(f"{folder}: another `denet build` is at work there") from None
        settle_within(folder)
        yield
