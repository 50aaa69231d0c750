"""Tables and graphs of a bundle for a person to read, and the same as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from denet.graph import KIND_NAMES, KINDS, Graph, State, image_value, kind_of
from runtime.bundle.bundle import Bundle
from runtime.bundle.describe_card import card_facts, card_table
from runtime.bundle.forms import FORMS, Form
from runtime.bundle.manifest import Engine, File


def bundle_facts(bundle: Bundle, states: Iterable[State]) -> dict[str, Any]:
    """What `describe_bundle` shows, as plain data for a program."""
    manifest, graph = bundle.manifest, bundle.graph
    return {
        "bundle": str(bundle.root),
        "schema": manifest.schema,
        "tools": manifest.tools,
        "checkpoint_sha256": manifest.checkpoint_sha256,
        "model": manifest.model,
        "dim": manifest.head.dim,
        "precisions": list(manifest.variants),
        "default_precision": manifest.default_precision,
        "scores": isinstance(manifest.scores, File),
        "card": card_facts(manifest),
        "engines": {
            name: {
                "flops": manifest.engines[name].flops,
                "bytes": {p: f.bytes for p, f in manifest.engines[name].files.items()},
                "inputs": {t.name: list(t.shape) for t in manifest.engines[name].inputs},
                "outputs": {t.name: list(t.shape) for t in manifest.engines[name].outputs},
            }
            for name in graph.engines
        },
        "states": {
            state.name: {
                "anchor": state.anchor,
                "missing": list(graph.missing(state)),
                "engines": list(graph.plan(state).engines),
                "parts": list(graph.plan(state).parts),
            }
            for state in states
        },
    }


def describe_bundle(bundle: Bundle, states: Iterable[State]) -> Group:
    """A bundle's engines, what each state runs, and each state's composition."""
    states = list(states)
    manifest = bundle.manifest
    height, width = manifest.preprocessing.height, manifest.preprocessing.width
    head = Text(
        f"{bundle.root}: {manifest.model.get('backbone')}, {height}x{width}, embeddings of "
        f"{manifest.head.dim}, {', '.join(manifest.variants)}"
        f"{', with scores for matches' if isinstance(manifest.scores, File) else ''}\n"
    )
    compositions = [Text("\n").append_text(composition(bundle.graph, state)) for state in states]
    return Group(
        head,
        card_table(manifest),
        Text(),
        _engine_table(bundle),
        Text(),
        _state_table(bundle, states),
        *compositions,
    )


def _engine_table(bundle: Bundle) -> Table:
    engines = bundle.manifest.engines
    forms = [form for form in FORMS if any(form in e.files for e in engines.values())]
    table = Table("engine", "reads", "makes", title="Engines", title_justify="left")
    table.add_column("GFLOP", justify="right")
    for form in forms:
        table.add_column(f"{form} MB", justify="right")
    for name in bundle.graph.engines:
        engine = engines[name]
        table.add_row(
            name,
            ", ".join(tensor.name for tensor in engine.inputs),
            ", ".join(tensor.name for tensor in engine.outputs),
            f"{engine.flops / 1e9:.3f}",
            *(_megabytes(engine, form) for form in forms),
        )
    table.add_section()
    total = [sum(e.files[f].bytes for e in engines.values() if f in e.files) for f in forms]
    table.add_row(f"{len(engines)} engines", "", "", "", *(f"{size / 1e6:.1f}" for size in total))
    return table


def _megabytes(engine: Engine, form: Form) -> str:
    return f"{engine.files[form].bytes / 1e6:.1f}" if form in engine.files else "-"


def _state_table(bundle: Bundle, states: list[State]) -> Table:
    table = Table("state", "recovered", title="Missing states", title_justify="left")
    manifest, graph = bundle.manifest, bundle.graph
    for column in (*KIND_NAMES.values(), "GFLOP", f"{manifest.default_precision} MB"):
        table.add_column(column, justify="right")
    for state in states:
        engines, missing = graph.plan(state).engines, graph.missing(state)
        kinds = [kind_of(name) for name in engines]
        parts, forms = manifest.engines, manifest.default_forms
        table.add_row(
            state.name,
            f"{', '.join(missing)} from {state.anchor}" if missing else "-",
            *(str(kinds.count(kind)) for kind in KINDS),
            f"{sum(parts[e].flops for e in engines) / 1e9:.1f}",
            f"{sum(parts[e].files[forms[e]].bytes for e in engines) / 1e6:.0f}",
        )
    return table


def composition(graph: Graph, state: State) -> Text:
    """How the parts of a state's embedding come about, and which edges are cut.

    Each line follows one part from the image through the engines that make it.
    """
    made_by = {
        value: call
        for call in graph.plan(state).calls
        for values in call.outputs.values()
        for value in values
    }

    images = {image_value(modality): modality for modality in graph.modalities}

    def path(value: str) -> list[str]:
        """The engines from an image to `value`; those marked + add to what came before."""
        call = made_by.get(value)
        if call is None:
            return [images[value]]
        if "sum" in call.inputs:
            before = call.inputs["sum"][call.outputs["enhanced"].index(value)]
            return [*path(before), f"+{call.engine}"]
        return [*path(next(iter(call.inputs.values()))[0]), call.engine]

    text = Text(f"{state.name}\n", style="bold")
    parts, order = graph.plan(state).parts, graph.modalities
    whole, alone = parts[: len(order)], parts[len(order) :]
    halves = (("c(S)", whole), (f"c({state.anchor})", alone))
    for title, values in halves[: len(parts) // len(order)]:  # one, of one modality
        for index, (modality, value) in enumerate(zip(order, values, strict=True)):
            text.append(f"  {title if index == 0 else '':7}{modality}  ", style="not bold cyan")
            text.append(" ▶ ".join(path(value)) + "\n", style="not bold")
    uncut = graph.edges(state)
    cut = [f"{s}→{t}" for s, t in graph.pairs if (s, t) not in uncut]
    edges = " ".join(f"{s}→{t}" for s, t in uncut)
    if graph.pairs:
        text.append(f"  edges  {edges}", style="not bold")
        text.append(f"   cut  {' '.join(cut)}" if cut else "   none cut", style="not bold dim")
    return text
