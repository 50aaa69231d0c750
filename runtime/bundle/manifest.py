"""What a bundle's manifest holds: `manifest.json` as strict structs.

It is not trusted before it is checked: the format and the schema first, then the digest of its own
bytes with which it ends, then every field; `meaning` beside it sees that they fit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from denet.errors import DenetError
from denet.graph import Graph, Modality
from denet.reading import reading
from runtime.bundle.card import ModelCard
from runtime.bundle.forms import (
    INT8,
    PLATFORMS,
    PRECISIONS,
    Form,
    Forms,
    Platform,
    Precision,
    variant,
)
from runtime.seal import KEY, is_sealed

FORMAT = "denet-bundle"
SCHEMA: Final = 2
MANIFEST = "manifest.json"

BUILT = "trt"
"""The folder of what was built of a bundle on a machine; its manifest does not list it."""

LIMIT = 4 << 20
"""Bytes that a manifest may have; with all forms and their evidence it has less than 100,000."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
FileSize = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
"""Bytes: no ONNX file with its weights inside has 2 GiB."""


class BundleError(DenetError):
    """A bundle that must not be used; the message names the file and the reason."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class File(_Strict, frozen=True):
    """A file of the bundle: its path relative to the bundle, its sha256 and its size in bytes."""

    path: str
    sha256: Sha256
    bytes: FileSize


class TensorSpec(_Strict, frozen=True):
    """An input or output of an engine. "B" in `shape` is the batch, "T" an edge's targets."""

    name: str
    shape: tuple[int | str, ...]
    dtype: Literal["float32"] = "float32"


class Engine(_Strict, frozen=True):
    """One engine: its signature, what it costs at batch 1, and its file in each form.

    Two forms may share a file, where an engine has none of its own: an edge's INT8 for TensorRT
    is its FP16.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    flops: Count
    files: dict[Form, File]


_Mean = Annotated[float, msgspec.Meta(ge=-1e3, le=1e3)]
_Deviation = Annotated[float, msgspec.Meta(ge=1e-6, le=1e3)]
_Edge = (
    Annotated[int, msgspec.Meta(ge=-(1 << 31), le=1 << 32)]
    | Annotated[float, msgspec.Meta(ge=-1e9, le=1e10)]
)


class NormalizationSpec(_Strict, frozen=True):
    """Per channel mean and std for values in [0, 1]; the values of black and white in
    images of more than 8 bits."""

    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Deviation, _Deviation, _Deviation]
    range16: tuple[_Edge, _Edge]


class Preprocessing(_Strict, frozen=True):
    """How an image becomes the input of a branch; sizes in pixels."""

    height: Pixels
    width: Pixels
    interpolation: Literal["bilinear"]
    modalities: dict[Modality, NormalizationSpec]


class Projection(_Strict, frozen=True):
    """Where the projection of a head comes from, and what it did to the ranking.

    Attributes:
        data: what it was fitted on, for a person.
        samples: how many.
        seed: of their choice.
        power: of the whitening: 0 leaves the principal axes as they are, 1 makes their variances
            equal.
        judged: on how many samples of other identities it was judged.
        map: of each missing state, the mAP of these, in per cent, before and after.
    """

    data: str
    samples: Count
    seed: int
    power: float
    judged: Count
    map: dict[str, tuple[float, float]]


class HeadSpec(_Strict, frozen=True):
    """From parts (B, P, C) to the embedding (B, dim).

    `affine` holds `scale` and `shift` (PC each) where a BN neck or a weight of parts is there, and
    `mean` (PC) and `matrix` (PC, dim) where there is a `projection`.
    """

    dim: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
    normalize: bool
    affine: File | None
    projection: Projection | None = None


class Canary(_Strict, frozen=True):
    """Golden inputs with the embeddings that PyTorch makes of them in each state.

    `min_cosine` is the least cosine to the expected embedding that each precision on each platform
    (`forms.variant`) may show.
    """

    file: File
    min_cosine: dict[str, Share]


class StateEvidence(_Strict, frozen=True):
    """What a choice of forms did to one missing state, on samples that it was not made from.

    Attributes:
        cosine: mean cosine of the embedding to that of FP32.
        overlap: mean share of the ten nearest of FP32 that are still among the ten nearest.
        map_fp32: mAP of FP32, in per cent; None without labels, and so are the next.
        map: mAP of the choice.
        change: the difference in points, with the 95 % interval of a bootstrap over identities.
    """

    cosine: float
    overlap: float
    map_fp32: float | None = None
    map: float | None = None
    change: tuple[float, float, float] | None = None


Evidence = dict[str, StateEvidence]
"""By missing state."""


class Mixed(_Strict, frozen=True):
    """A form for each engine that keeps every state inside a budget, and why.

    Attributes:
        engines: the form of each engine.
        budget: mAP points that each state may lose; without labels, the least mean cosine.
        labelled: which of the two it is.
        states: the evidence, by state.
        reasons: of each engine that is not in its fastest form.
    """

    engines: dict[str, Form]
    budget: float
    labelled: bool
    states: dict[str, StateEvidence]
    reasons: dict[str, str]


class Calibration(_Strict, frozen=True):
    """Where the INT8 of a bundle comes from.

    Attributes:
        table: the file of activation ranges.
        data: what they were taken from, for a person.
        samples: how many.
        seed: of their choice.
        method: how ranges became scales.
        judged: on how many other samples the results were measured.
    """

    table: File
    data: str
    samples: Count
    seed: int
    method: Literal["minmax", "percentile", "entropy"]
    judged: Count


class Manifest(_Strict, frozen=True):
    """What `manifest.json` says, but for its digest.

    `judged` is what the calibration found of each variant; it is left out where there is none, so
    that earlier versions read such a bundle.

    `scores` is the file that turns cosines of its embeddings into false-match rates, as
    `runtime.gallery.scores` reads it. `card` is for people: nothing that runs looks at it.
    """

    format: Literal["denet-bundle"]
    schema: Literal[2]
    tools: dict[str, str]
    checkpoint_sha256: Sha256
    model: dict[str, Any]
    channels: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    feature_size: tuple[Pixels, Pixels]
    preprocessing: Preprocessing
    engines: dict[str, Engine]
    default_precision: Precision
    head: HeadSpec
    canary: Canary
    calibration: Calibration | None = None
    mixed: dict[Platform, Mixed] = {}
    judged: dict[str, Evidence] | msgspec.UnsetType = msgspec.UNSET
    # These are left out where there are none: such a manifest is the same, to the byte, as before
    # there were any, and whoever does not know of them reads it.
    scores: File | msgspec.UnsetType = msgspec.UNSET
    card: ModelCard | msgspec.UnsetType = msgspec.UNSET

    @property
    def graph(self) -> Graph:
        """The graph of its modalities: those that it has preprocessing for, in their order."""
        return Graph(tuple(self.preprocessing.modalities))

    @property
    def variants(self) -> tuple[str, ...]:
        """What the bundle can be run in: "fp32", "int8-vnni", "mixed-trt" and so on."""
        return tuple(
            variant(precision, platform)
            for precision in PRECISIONS
            for platform in (PLATFORMS if precision in ("int8", "mixed") else (None,))
            if self.forms(precision, platform) is not None
        )

    @property
    def default_forms(self) -> Forms:
        """The form of each engine in the default precision, on the first platform that has it."""
        found = (self.forms(self.default_precision, platform) for platform in PLATFORMS)
        return next(forms for forms in found if forms is not None)

    def forms(self, precision: Precision, platform: Platform | None) -> Forms | None:
        """The form of each engine in a precision on a platform; None where one is not there."""
        if precision == "mixed":
            mixed = self.mixed.get(platform) if platform is not None else None
            return None if mixed is None else mixed.engines
        form: Form = precision if precision != "int8" else INT8[platform or "avx2"]
        complete = all(form in engine.files for engine in self.engines.values())
        return dict.fromkeys(self.engines, form) if complete else None

    def maps(self, name: str) -> dict[str, float]:
        """The mAP of the variant called `name` in each missing state, in per cent, on the samples
        that the calibration held out; empty where it was not measured."""
        if self.judged is msgspec.UNSET:
            # As earlier versions left it; of a projection that came later they do not tell.
            earlier = {} if self.head.projection is not None else self.mixed
            judged = {f"mixed-{platform}": mixed.states for platform, mixed in earlier.items()}
        else:
            judged = self.judged
        if name == "fp32":
            found = next(iter(judged.values()), {})
            return {s: each.map_fp32 for s, each in found.items() if each.map_fp32 is not None}
        return {s: each.map for s, each in judged.get(name, {}).items() if each.map is not None}

    @property
    def model_card(self) -> ModelCard:
        """Its card; one that knows of nothing where an earlier version wrote the bundle."""
        return ModelCard() if isinstance(self.card, msgspec.UnsetType) else self.card

    @property
    def projection_digest(self) -> str:
        """The sha256 of what projects embeddings; empty where nothing does.

        Embeddings can be compared where it and `checkpoint_sha256` are the same, whatever the
        precision that made them.
        """
        affine = self.head.affine
        return "" if self.head.projection is None or affine is None else affine.sha256

    def files(self) -> Iterator[File]:
        """Every file that the manifest lists."""
        for engine in self.engines.values():
            yield from engine.files.values()
        if self.head.affine is not None:
            yield self.head.affine
        yield self.canary.file
        if self.calibration is not None:
            yield self.calibration.table
        if isinstance(self.scores, File):
            yield self.scores


def parse_manifest(path: Path | str, content: bytes) -> Manifest:
    """The manifest whose bytes are `content`.

    Args:
        path: its file, for messages.
        content: of it.

    Raises:
        BundleError: it is none of this schema, or is not as it was written; says why.
    """
    with reading(path, BundleError):
        document = msgspec.json.decode(content)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BundleError(f"{path}: not the manifest of a denet bundle")
    if document.get("schema") != SCHEMA:
        raise BundleError(
            f"{path}: bundle schema {repr(document.get('schema'))[:20]}, but this version of denet "
            f"reads schema {SCHEMA}: export the bundle again, or install the denet that wrote it"
        )
    if not is_sealed(content):
        raise BundleError(
            f"{path}: damaged or edited: its digest is not that of its content: take the bundle "
            "from where it came once more"
        )
    del document[KEY]
    with reading(path, BundleError, "not what a manifest says"):
        return msgspec.convert(document, Manifest)
