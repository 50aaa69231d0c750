"""Whether what ONNX Runtime has loaded is the engine that the manifest lists."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.library import ort
from runtime.bundle.manifest import Engine, TensorSpec

_FLOAT = "tensor(float)"


def check_tensors(session: ort.InferenceSession, name: str, engine: Engine) -> None:
    """See that a session is of the engine called `name`, with its inputs and outputs.

    An export gives each graph the name of its engine: two branches have the same tensors.

    Raises:
        BackendError: it is not; says what it is.
    """
    try:
        _check(session, name, engine)
    except UnicodeError:
        raise BackendError(
            f"{name}: its ONNX file has names that are no text: export the bundle again"
        ) from None


def _check(session: ort.InferenceSession, name: str, engine: Engine) -> None:
    graph = session.get_modelmeta().graph_name
    if graph != name:
        raise BackendError(
            f"{name}: its ONNX file holds another engine, {graph[:40]!r}: export the bundle again"
        )
    for what, found, wanted in (
        ("inputs", session.get_inputs(), engine.inputs),
        ("outputs", session.get_outputs(), engine.outputs),
    ):
        if not _agree(found, wanted):
            shown = ", ".join(f"{v.name[:40]} {v.type} {v.shape}" for v in found)
            raise BackendError(
                f"{name}: the {what} of its ONNX file are not those of the manifest but {shown}: "
                "export the bundle again"
            )


def _agree(found: Iterable[ort.NodeArg], wanted: Iterable[TensorSpec]) -> bool:
    """Whether they are the same, in any order; a dimension that has a name may be any."""
    shapes = {v.name: tuple(v.shape) if v.type == _FLOAT else None for v in found}
    expected = {t.name: t.shape for t in wanted}
    return shapes.keys() == expected.keys() and all(
        _same(shapes[name], shape) for name, shape in expected.items()
    )


def _same(found: tuple[int | str | None, ...] | None, wanted: tuple[int | str, ...]) -> bool:
    return (
        found is not None
        and len(found) == len(wanted)
        and all(
            not isinstance(f, int) if isinstance(w, str) else f == w
            for f, w in zip(found, wanted, strict=True)
        )
    )
