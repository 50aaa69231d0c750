"""Whether what a manifest says fits together: what nobody could compute with is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from denet.folders import FOLDERS
from denet.graph import Modality, component, kind_of
from runtime.bundle.forms import INT8
from runtime.bundle.manifest import BundleError, Engine, File, Manifest, TensorSpec

Shape = tuple[int | str, ...]


def check_meaning(path: Path | str, manifest: Manifest) -> None:
    """See that a manifest lists the engines of its graph, each with the tensors that it has there,
    a precision that they can run in, a limit of the canary for each, and a head that fits.

    Args:
        path: of the manifest, for messages.
        manifest: to look at.

    Raises:
        BundleError: it does not; says what.
    """
    _check_graph(path, manifest)
    _check_preprocessing(path, manifest)
    for name, engine in manifest.engines.items():
        _check_tensors(path, manifest, name, engine)
    _check_files(path, manifest)
    _check_precisions(path, manifest)
    _check_head(path, manifest)


def tensors(manifest: Manifest, engine: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """The inputs and the outputs that an engine has in the graph, by name; "B" is the batch, "T"
    the targets of an edge."""
    size = manifest.preprocessing
    feature: Shape = ("B", manifest.channels, *manifest.feature_size)
    vector: Shape = ("B", manifest.channels)
    vectors: Shape = ("T", *vector)
    kind = kind_of(engine)
    if kind == "branch":
        return {"image": ("B", 3, size.height, size.width)}, {"feature": feature, "pooled": vector}
    if kind == "cmft":
        return {"feature": feature}, {"pooled": vector}
    return {"feature": feature, "base": vectors, "sum": vectors}, {"enhanced": vectors}


def _check_graph(path: Path | str, manifest: Manifest) -> None:
    """See that the engines are those of the graph of the modalities that have preprocessing."""
    engines, modalities = manifest.engines, manifest.preprocessing.modalities
    if unknown := [m for m in modalities if m not in FOLDERS]:
        raise BundleError(
            f"{path}: preprocessing for an unknown modality {', '.join(map(repr, unknown))}: "
            f"choose from {', '.join(FOLDERS)}"
        )
    if missing := [m for m in _named(engines) if m not in modalities]:
        raise BundleError(f"{path}: no preprocessing for {', '.join(missing)}")
    if not modalities:
        raise BundleError(f"{path}: no preprocessing for any modality")
    expected = manifest.graph.engines
    if missing := [name for name in expected if name not in engines]:
        raise BundleError(f"{path}: lists no engine {', '.join(missing)}")
    if unknown := sorted(set(engines) - set(expected)):
        raise BundleError(f"{path}: lists an unknown engine {', '.join(unknown)}")


def _named(engines: Iterable[str]) -> list[Modality]:
    """The modalities that the names of engines tell, of those that are known."""
    named: set[Modality] = set()
    for engine in engines:
        with suppress(ValueError):
            named |= {component(engine).source, component(engine).target}
    return [m for m in FOLDERS if m in named]


def _check_preprocessing(path: Path | str, manifest: Manifest) -> None:
    size = manifest.preprocessing
    for modality, normalization in size.modalities.items():
        black, white = normalization.range16
        if black >= white:
            raise BundleError(
                f"{path}: range16 of {modality} goes from {black} to {white}: white must be above "
                "black"
            )
    height, width = manifest.feature_size
    if height > size.height or width > size.width:
        raise BundleError(
            f"{path}: a feature map of {height}x{width} of images of {size.height}x{size.width}"
        )


def _check_tensors(path: Path | str, manifest: Manifest, name: str, engine: Engine) -> None:
    for what, listed, expected in zip(
        ("inputs", "outputs"),
        (engine.inputs, engine.outputs),
        tensors(manifest, name),
        strict=True,
    ):
        if _shapes(listed) != expected or len(listed) != len(expected):
            raise BundleError(
                f"{path}: {what} of {name} are {_shown(_shapes(listed))}, but in this graph they "
                f"are {_shown(expected)}"
            )


def _shapes(listed: Iterable[TensorSpec]) -> dict[str, Shape]:
    return {tensor.name: tensor.shape for tensor in listed}


def _shown(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{n[:40]} {'x'.join(map(str, s))}" for n, s in shapes.items()) or "none"


def _check_files(path: Path | str, manifest: Manifest) -> None:
    known: dict[str, File] = {}
    for file in manifest.files():
        if known.setdefault(file.path, file) != file:
            raise BundleError(f"{path}: lists {file.path[:80]!r} twice, as different files")


def _check_precisions(path: Path | str, manifest: Manifest) -> None:
    for platform, mixed in manifest.mixed.items():
        allowed = ("fp32", "fp16", INT8[platform])
        for name in manifest.graph.engines:
            if mixed.engines.get(name) not in manifest.engines[name].files:
                raise BundleError(f"{path}: mixed-{platform} has no engine {name} to run")
            if mixed.engines[name] not in allowed:
                raise BundleError(
                    f"{path}: mixed-{platform} runs {name} in {mixed.engines[name]}, which was "
                    "made for other hardware"
                )
    if not any(v.partition("-")[0] == manifest.default_precision for v in manifest.variants):
        raise BundleError(
            f"{path}: default precision {manifest.default_precision}, but some engine lacks it"
        )
    if missing := [v for v in manifest.variants if v not in manifest.canary.min_cosine]:
        raise BundleError(f"{path}: the canary has no limit for {', '.join(missing)}")


def _check_head(path: Path | str, manifest: Manifest) -> None:
    head, wide = manifest.head, manifest.graph.parts * manifest.channels
    if head.projection is None and head.dim != wide:
        raise BundleError(f"{path}: nothing projects {wide} numbers to {head.dim}")
    if head.projection is not None and (head.dim >= wide or head.affine is None):
        raise BundleError(
            f"{path}: the head projects {wide} numbers to {head.dim} by "
            f"{'no file' if head.affine is None else head.affine.path[:80]}"
        )
