"""TensorRT engines of graphs of whole states, each built in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from denet.graph import State
from export.graphs.names import EMBEDDING
from export.tensorrt.facts import build_engine, write_facts
from export.tensorrt.keeping import TIMING_CACHE
from export.tensorrt.request import BuildError, BuildRequest, GraphSource
from runtime.backends.tensorrt.files import BuildSpec, profile_of
from runtime.backends.tensorrt.machine import BuildMachine, BuildOptions
from runtime.bundle.forms import Form, Forms
from runtime.bundle.manifest import BUILT, Engine, File, Manifest, TensorSpec


def graph_signature(state: State, manifest: Manifest) -> Engine:
    """What the graph of a state reads and makes: "B" is the batch."""
    size = manifest.preprocessing
    return Engine(
        inputs=tuple(
            TensorSpec(name=m, shape=("B", 3, size.height, size.width)) for m in state.available
        ),
        outputs=(TensorSpec(name=EMBEDDING, shape=("B", manifest.head.dim)),),
        flops=0,
        files={},
    )


@dataclass(frozen=True)
class GraphBuild:
    """Builds an engine of a state's graph, for this machine.

    Attributes:
        machine: this one.
        options: of TensorRT's builder.
    """

    machine: BuildMachine
    options: BuildOptions

    def __call__(
        self,
        root: Path,
        state: State,
        file: File,
        forms: Forms,
        manifest: Manifest,
        notify: Callable[[str], None],
    ) -> str:
        """Build it: its path from `root`, its facts beside it.

        Raises:
            BuildError: it cannot be built, or is not in the precision of its graph.
        """
        signature = graph_signature(state, manifest)
        folder = f"{BUILT}/{self.machine.name}"
        path = f"{folder}/{state.name}.engine"
        (root / folder).mkdir(parents=True, exist_ok=True)
        inside = {engine: forms[engine] for engine in manifest.graph.plan(state).engines}
        spec = BuildSpec(
            engine=state.name,
            form=_form(inside),
            source_sha256=file.sha256,
            machine=self.machine,
            profile=profile_of(signature, self.options.batch),
            options=self.options,
        )
        request = BuildRequest(
            bundle="",
            spec=spec,
            output=str(root / path),
            timing_cache=str(root / folder / TIMING_CACHE),
            graph=GraphSource(path=str(root / file.path), signature=signature, forms=inside),
        )
        try:
            facts = build_engine(request, lambda at: notify(f"{state} for TensorRT: {at.phase}"))
        except BuildError as error:
            raise BuildError(f"{state.name} as one graph: not built: {error}") from None
        write_facts(root, f"{folder}/{state.name}.json", facts)
        return path


def _form(forms: Forms) -> Form:
    """What a graph is called whose engines are in these forms: the least of them."""
    order: tuple[Form, ...] = ("int8-trt", "fp16", "fp32")
    return next(form for form in order if form in forms.values())
