"""Writes the graphs of all states of a bundle into a folder, with what others need to run them.

FOLDER/graphs.json                       what they are, what they read and make
FOLDER/rgb+tir.onnx                      the graph of a state
FOLDER/trt/<machine>/rgb+tir.engine      a TensorRT engine of it, where that is asked for
FOLDER/triton/denet_rgb_tir/             a model of a Triton repository
FOLDER/deepstream/rgb.txt                nvinfer's configuration, for states of one modality
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from denet import __version__
from denet.files import replaced_folder
from denet.outputs import SIZE, check_free, check_parent, check_place, writing
from denet.reading import read_json
from denet.temporary import settle
from export.graphs.compose import state_graph
from export.graphs.configs import deepstream_config, model_name, triton_config
from export.graphs.errors import GraphsError
from export.tensorrt.graphs import GraphBuild, graph_signature
from runtime.backends.choose import runnable_forms
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PRECISIONS, Forms, Platform, variant
from runtime.bundle.manifest import File, Preprocessing, TensorSpec
from runtime.bundle.writing import store

GRAPHS = "graphs.json"
FORMAT = "denet-graphs"

LARGEST = 16
"""Samples at once, in the configurations of others, where nothing was built for more or less."""

Notify = Callable[[str], None]


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The graph of a state: its file, its inputs by modality, its outputs; and its engine, if one
    was built."""

    file: File
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    engine: str | None


class GraphsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `graphs.json` says.

    Attributes:
        version: of denet that wrote them.
        checkpoint_sha256: of the bundle that they were made of.
        projection: the digest of what projects embeddings; empty where nothing does.
        precision: with what INT8 was made for: "int8-trt".
        forms: of each engine inside.
        preprocessing: the size that images are resized to, and the normalization that the graphs
            do by themselves.
        graphs: by state.
    """

    format: Literal["denet-graphs"] = "denet-graphs"
    schema: Literal[1] = 1
    version: str
    checkpoint_sha256: str
    projection: str
    precision: str
    forms: dict[str, str]
    preprocessing: Preprocessing
    graphs: dict[str, GraphFacts]


def choose_variant(
    bundle: Bundle, precision: str, platforms: Sequence[Platform]
) -> tuple[str, Forms]:
    """The variant of a bundle whose graphs are to be written.

    Args:
        bundle: that has it.
        precision: "auto", or by name.
        platforms: what INT8 may be made for, the best first.

    Raises:
        GraphsError: the bundle does not have it.
    """
    if precision not in (*PRECISIONS, "auto"):
        raise GraphsError(
            f"unknown precision {precision!r}: choose from auto, {', '.join(PRECISIONS)}"
        )
    found = runnable_forms(bundle.manifest, precision, platforms)
    if not found:
        raise GraphsError(
            f"{bundle.root}: has no {precision} made for {' or '.join(platforms)}, only "
            f"{', '.join(bundle.manifest.variants)}: name one by --precision and --target"
        )
    chosen, platform, forms = found[0]
    return variant(chosen, platform), forms


def check_graphs(folder: Path, *, replace: bool, size: int = SIZE) -> None:
    """See that graphs may and can be written to `folder`, before the work for it is done.

    Raises:
        GraphsError: they may not or cannot; says why.
    """
    settle(folder)
    with writing(folder, GraphsError):
        check_parent(folder, GraphsError)
    _check_replaced(folder, replace=replace)
    check_place(folder, GraphsError, size)


def write_graphs(
    bundle: Bundle,
    folder: Path,
    precision: str,
    forms: Forms,
    *,
    build: GraphBuild | None = None,
    replace: bool = False,
    notify: Notify = lambda _: None,
) -> GraphsFacts:
    """Write the graph of each state, all or nothing.

    Args:
        bundle: whose engines they are made of.
        folder: to make.
        precision: the name of the variant.
        forms: of each engine.
        build: builds TensorRT engines of them; None for none.
        replace: graphs that are there.
        notify: told of each state.

    Raises:
        BundleError: the bundle is damaged.
        GraphsError: they cannot be made or written.
        BuildError: an engine cannot be built.
    """
    manifest = bundle.manifest
    check_graphs(folder, replace=replace)
    batch = LARGEST if build is None else build.options.batch[2]
    found: dict[str, GraphFacts] = {}
    replaceable = partial(_check_replaced, folder, replace=replace)
    with writing(folder, GraphsError), replaced_folder(folder, replaceable) as root:
        for state in bundle.graph.states:
            notify(f"{state} as one graph")
            file = store(root, f"{state.name}.onnx", state_graph(bundle, state, forms))
            engine = None
            if build is not None:
                engine = build(root, state, file, forms, manifest, notify)
            model = f"triton/{model_name(state)}"
            _text(root, f"{model}/config.pbtxt", triton_config(state, manifest, batch))
            (root / model / "1").mkdir()
            _link(root, file, f"{model}/1/model.onnx")
            if len(state.available) == 1:
                built = f"../{engine or f'{state.name}.engine'}"
                text = deepstream_config(state, manifest, precision, batch, built)
                _text(root, f"deepstream/{state.name}.txt", text)
            signature = graph_signature(state, manifest)
            found[state.name] = GraphFacts(
                file=file, inputs=signature.inputs, outputs=signature.outputs, engine=engine
            )
        facts = GraphsFacts(
            version=__version__,
            checkpoint_sha256=manifest.checkpoint_sha256,
            projection=manifest.projection_digest,
            precision=precision,
            forms=dict(forms),
            preprocessing=manifest.preprocessing,
            graphs=found,
        )
        encoded = msgspec.json.format(msgspec.json.encode(facts), indent=2)
        store(root, GRAPHS, encoded + b"\n")
    return facts


def _text(root: Path, path: str, text: str) -> None:
    store(root, path, text.encode())


def _link(root: Path, file: File, path: str) -> None:
    """The same file under another name: Triton wants names of its own."""
    try:
        (root / path).hardlink_to(root / file.path)
    except OSError:
        store(root, path, (root / file.path).read_bytes())


def _check_replaced(folder: Path, *, replace: bool) -> None:
    """See that nothing is lost at `folder`: nothing is there, or graphs to replace and all of it.

    Raises:
        GraphsError: something else is there, or files that are not ours, or `replace` is false.
    """
    with writing(folder, GraphsError):
        if not folder.exists():
            return
        if not _is_ours(folder):
            raise GraphsError(f"{folder}: exists and holds no graphs of denet: choose another name")
        check_free(folder, GraphsError, replace=replace)
        known = _known(folder)
        foreign = [
            path
            for path in sorted(folder.rglob("*"))
            if not path.is_dir() and str(path.relative_to(folder)) not in known
        ]
    if foreign:
        raise GraphsError(
            f"{folder}: is not replaced, for it holds what denet did not write: {foreign[0]}: move "
            "that elsewhere"
        )


def _is_ours(folder: Path) -> bool:
    path = folder / GRAPHS
    if not path.is_file():
        return False
    document: Any = read_json(path, GraphsError)
    return isinstance(document, dict) and document.get("format") == FORMAT


def _known(folder: Path) -> set[str]:
    """Every file that was written there, by its path from the folder."""
    facts = read_json(folder / GRAPHS, GraphsError, kind=GraphsFacts)
    known = {GRAPHS}
    for name, graph in facts.graphs.items():
        model = f"triton/denet_{name.replace('+', '_')}"
        known |= {graph.file.path, f"{model}/config.pbtxt", f"{model}/1/model.onnx"}
        known |= {f"deepstream/{name}.txt", f"{name}.engine"}  # the latter by trtexec
        if graph.engine is not None:
            cache = str(Path(graph.engine).parent / "timing.cache")
            known |= {graph.engine, str(Path(graph.engine).with_suffix(".json")), cache}
    return known
