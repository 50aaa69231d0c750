"""A bundle on disk: its manifest, and reading it with verification.

A bundle is a directory `NAME.denet/` with `manifest.json` and the files that it lists. Nothing
in it is trusted before it is checked: the schema first, then that every file is inside the
bundle and has the stated size, then, whenever a file is read, its sha256.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from denet.errors import DenetError
from denet.graph import ENGINES, MODALITIES, Modality
from runtime.forms import INT8, PRECISIONS, TARGETS, Form, Forms, Precision, Target, variant

FORMAT = "denet-bundle"
SCHEMA = 1
MANIFEST = "manifest.json"


class BundleError(DenetError):
    """A bundle that must not be used; the message names the file and the reason."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class File(_Strict, frozen=True):
    """A file of the bundle: its path relative to the bundle, its sha256 and its size in bytes."""

    path: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]


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
    flops: int
    files: dict[Form, File]


class Normalization(_Strict, frozen=True):
    """Per channel mean and std for values in [0, 1]; the 16-bit values of black and white."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    range16: tuple[int, int]


class Preprocessing(_Strict, frozen=True):
    """How an image becomes the input of a branch; sizes in pixels."""

    height: Annotated[int, msgspec.Meta(ge=1)]
    width: Annotated[int, msgspec.Meta(ge=1)]
    interpolation: Literal["bilinear"]
    modalities: dict[Modality, Normalization]


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
    samples: int
    seed: int
    power: float
    judged: int
    map: dict[str, tuple[float, float]]


class Head(_Strict, frozen=True):
    """From parts (B, 6, C) to the embedding (B, dim).

    `affine` holds `scale` and `shift` (6C each) where a BN neck or a weight of parts is there, and
    `mean` (6C) and `matrix` (6C, dim) where there is a `projection`.
    """

    dim: int
    normalize: bool
    affine: File | None
    projection: Projection | None = None


class Canary(_Strict, frozen=True):
    """Golden inputs with the embeddings that PyTorch makes of them in each state.

    `min_cosine` is the least cosine to the expected embedding that each precision on each target
    (`forms.variant`) may show.
    """

    file: File
    min_cosine: dict[str, float]


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
    samples: int
    seed: int
    method: Literal["minmax", "percentile", "entropy"]
    judged: int


class Manifest(_Strict, frozen=True):
    """What `manifest.json` says."""

    format: Literal["denet-bundle"]
    schema: Literal[1]
    tools: dict[str, str]
    checkpoint_sha256: str
    model: dict[str, Any]
    channels: int
    feature_size: tuple[int, int]
    preprocessing: Preprocessing
    engines: dict[str, Engine]
    default_precision: Precision
    head: Head
    canary: Canary
    calibration: Calibration | None = None
    mixed: dict[Target, Mixed] = {}

    @property
    def variants(self) -> tuple[str, ...]:
        """What the bundle can be run in: "fp32", "int8-vnni", "mixed-trt" and so on."""
        return tuple(
            variant(precision, target)
            for precision in PRECISIONS
            for target in (TARGETS if precision in ("int8", "mixed") else (None,))
            if self.forms(precision, target) is not None
        )

    @property
    def default_forms(self) -> Forms:
        """The form of each engine in the default precision, on the first target that has it."""
        found = (self.forms(self.default_precision, target) for target in TARGETS)
        return next(forms for forms in found if forms is not None)

    def forms(self, precision: Precision, target: Target | None) -> Forms | None:
        """The form of each engine in a precision on a target; None where one is not there."""
        if precision == "mixed":
            mixed = self.mixed.get(target) if target is not None else None
            return None if mixed is None else mixed.engines
        form: Form = precision if precision != "int8" else INT8[target or "avx2"]
        complete = all(form in engine.files for engine in self.engines.values())
        return dict.fromkeys(self.engines, form) if complete else None

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


class Bundle:
    """A bundle opened for reading; make one with `Bundle.open`."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: Path | str) -> Bundle:
        """Open the bundle at `root`: check its schema, and that its files are there.

        Contents are hashed when they are read, or all at once by `verify`.

        Raises:
            BundleError: `root` is no bundle of this schema, lists a path that leaves the
                bundle, lacks a file or engine, or holds one of another size.
        """
        root = Path(root)
        bundle = cls(root, _read_manifest(root))
        for file in bundle.manifest.files():
            bundle._locate(file)
        return bundle

    def read(self, file: File) -> bytes:
        """The content of `file`.

        Raises:
            BundleError: it cannot be read, or is not what the manifest says.
        """
        path = self._locate(file)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from None
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _damaged(path)
        return content

    def _check(self, file: File) -> None:
        """As `read`, through a small buffer: fresh memory for all of it would cost as much."""
        path = self._locate(file)
        digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 18))
        try:
            with path.open("rb", buffering=0) as stream:
                while count := stream.readinto(buffer):
                    digest.update(buffer[:count])
        except OSError as error:
            raise _unreadable(path, error) from None
        if digest.hexdigest() != file.sha256:
            raise _damaged(path)

    def read_engine(self, engine: str, form: Form) -> bytes:
        """The ONNX model of an engine in `form`. Raises: BundleError, as `read`."""
        return self.read(self.manifest.engines[engine].files[form])

    def read_arrays(self, file: File) -> dict[str, NDArray[Any]]:
        """The arrays of an npz file of the bundle. Raises: BundleError, as `read`."""
        try:
            with np.load(io.BytesIO(self.read(file)), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except BundleError:
            raise
        except (ValueError, OSError, KeyError, EOFError, BadZipFile) as error:
            raise BundleError(f"{self.root / file.path}: not an array file: {error}") from None

    def verify(self, forms: Forms | None = None) -> None:
        """Hash every file, or only what running the engines in `forms` needs.

        Raises:
            BundleError: a file is not what the manifest says.
        """
        engines = self.manifest.engines
        needed = {file.path for file in self.manifest.files()}
        if forms is not None:
            needed -= {file.path for engine in engines.values() for file in engine.files.values()}
            needed |= {engines[name].files[form].path for name, form in forms.items()}
        for file in {file.path: file for file in self.manifest.files()}.values():
            if file.path in needed:
                self._check(file)

    def _locate(self, file: File) -> Path:
        pure = PurePosixPath(file.path)
        path = self.root / pure
        inside = not pure.is_absolute() and ".." not in pure.parts and "\\" not in file.path
        try:
            inside = inside and path.resolve().is_relative_to(self.root.resolve())
            present = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a loop of links
            raise BundleError(
                f"{self.root / MANIFEST}: the path {file.path[:80]!r} is no file's: {error}"
            ) from None
        if not inside:
            raise BundleError(f"{self.root / MANIFEST}: the path {file.path!r} leaves the bundle")
        if not present:
            raise BundleError(f"{path}: missing from the bundle")
        if path.stat().st_size != file.bytes:
            raise BundleError(
                f"{path}: damaged: {path.stat().st_size} bytes instead of {file.bytes}"
            )
        return path


def _unreadable(path: Path, error: OSError) -> BundleError:
    return BundleError(f"{path}: cannot be read: {error}")


def _damaged(path: Path) -> BundleError:
    return BundleError(f"{path}: damaged: its sha256 is not the one in {MANIFEST}")


def _read_manifest(root: Path) -> Manifest:
    path = root / MANIFEST
    if not root.exists():
        raise BundleError(f"{root}: there is no such bundle (make one with `denet export`)")
    if not path.is_file():
        raise BundleError(f"{root}: not a bundle: it has no {MANIFEST}")
    try:
        document = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BundleError(f"{path}: not the manifest of a denet bundle")
    if document.get("schema") != SCHEMA:
        raise BundleError(
            f"{path}: bundle schema {document.get('schema')!r}, but this version of denet reads "
            f"schema {SCHEMA}: export the bundle again, or install the denet that wrote it"
        )
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: {error}") from None
    if missing := [name for name in ENGINES if name not in manifest.engines]:
        raise BundleError(f"{path}: lists no engine {', '.join(missing)}")
    if unknown := sorted(set(manifest.engines) - set(ENGINES)):
        raise BundleError(f"{path}: lists an unknown engine {', '.join(unknown)}")
    if missing := [m for m in MODALITIES if m not in manifest.preprocessing.modalities]:
        raise BundleError(f"{path}: no preprocessing for {', '.join(missing)}")
    for target, mixed in manifest.mixed.items():
        for name in ENGINES:
            if mixed.engines.get(name) not in manifest.engines[name].files:
                raise BundleError(f"{path}: mixed-{target} has no engine {name} to run")
    if not any(v.partition("-")[0] == manifest.default_precision for v in manifest.variants):
        raise BundleError(
            f"{path}: default precision {manifest.default_precision}, but some engine lacks it"
        )
    return manifest
