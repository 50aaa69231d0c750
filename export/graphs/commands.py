"""What `denet export --monolithic` does beyond a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from denet.console import progress, say

if TYPE_CHECKING:
    from runtime.backends.tensorrt.machine import BuildOptions
    from runtime.bundle.forms import Platform


def check_bundle_alone(bundle: Path, *others: object) -> None:
    """See that nothing is asked for that would change a bundle whose graphs are written.

    Raises:
        GraphsError: one of `others` is asked for.
    """
    from export.graphs.errors import GraphsError

    if any(each is not None for each in others):
        raise GraphsError(
            f"{bundle}: is a bundle: --calibration-data, --embedding-dim, --budget and --neck are "
            "for a checkpoint: run `denet calibrate` or `denet project` on it first"
        )


@contextmanager
def bundle_of_graphs(to: Path) -> Iterator[Path]:
    """Where the bundle is made whose graphs will be at `to`. It is gone at the end, or at the next
    start where a kill comes first.

    Raises:
        GraphsError: it cannot be written.
    """
    from denet.outputs import writing
    from denet.temporary import NEW, followed, temporary
    from export.graphs.errors import GraphsError

    with ExitStack() as stack:
        with writing(to, GraphsError):
            to.absolute().parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(temporary(followed(to)))
        yield folder / NEW


def run_graphs(
    bundle: Path,
    to: Path,
    precision: str,
    target: str | None,
    build: BuildOptions | None,
    *,
    force: bool,
) -> None:
    """Write the graphs of a bundle's states, and say what came of it."""
    from export.graphs.write import GRAPHS, choose_variant, write_graphs
    from export.tensorrt.build import check_machine
    from export.tensorrt.graphs import GraphBuild
    from runtime.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    platforms = ("trt",) if build is not None else _platforms(target)
    name, forms = choose_variant(opened, precision, platforms)
    builder = None if build is None else GraphBuild(check_machine(build), build)
    with progress("composing") as notify:
        made = write_graphs(
            opened,
            to,
            name,
            forms,
            build=builder,
            replace=force,
            notify=lambda what: notify(what, 0, 0),
        )
    size = sum(graph.file.bytes for graph in made.graphs.values())
    count = len(made.graphs)
    say(
        f"{to}: {count} graph{'s' * (count > 1)} in {name}, {size / 1e6:.0f} MB; {GRAPHS} says "
        "what they read and make"
    )
    if builder is not None:
        say(f"{to}: a TensorRT engine of each, for {builder.machine.name}; none was run")


def _platforms(target: str | None) -> tuple[Platform, ...]:
    """What INT8 may be made for: the first that is named, or what this CPU runs.

    Raises:
        GraphsError: it is none.
    """
    from export.graphs.errors import GraphsError
    from runtime.bundle.forms import PLATFORMS, cpu_platforms

    if target is None:
        return cpu_platforms()
    named = target.split(",")[0].strip()
    found = next((platform for platform in PLATFORMS if platform == named), None)
    if found is None:
        raise GraphsError(f"--target {target}: choose from {', '.join(PLATFORMS)}")
    return (found,)
