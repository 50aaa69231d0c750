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

FORMAT = "denet-bundle"
SCHEMA = 1
MANIFEST = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]


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
    """One engine: its signature, what it costs at batch 1, and its file in each precision."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    flops: int
    files: dict[Precision, File]


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


class Head(_Strict, frozen=True):
    """From parts (B, 6, C) to the embedding (B, dim).

    `affine` holds `scale` and `shift` (6C each) of a BN neck, where retrieval uses one.
    """

    dim: int
    normalize: bool
    affine: File | None


class Canary(_Strict, frozen=True):
    """Golden inputs with the embeddings that PyTorch makes of them in each state.

    `min_cosine` is the least cosine to the expected embedding that each precision may show.
    """

    file: File
    min_cosine: dict[Precision, float]


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

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions in which every engine is present."""
        per_engine = [set(engine.files) for engine in self.engines.values()]
        return tuple(p for p in ("fp32", "fp16", "int8") if all(p in files for files in per_engine))

    def files(self) -> Iterator[File]:
        """Every file that the manifest lists."""
        for engine in self.engines.values():
            yield from engine.files.values()
        if self.head.affine is not None:
            yield self.head.affine
        yield self.canary.file


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
            raise BundleError(f"{path}: cannot be read: {error}") from None
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise BundleError(f"{path}: damaged: its sha256 is not the one in {MANIFEST}")
        return content

    def read_engine(self, engine: str, precision: Precision) -> bytes:
        """The ONNX model of an engine in `precision`. Raises: BundleError, as `read`."""
        return self.read(self.manifest.engines[engine].files[precision])

    def read_arrays(self, file: File) -> dict[str, NDArray[Any]]:
        """The arrays of an npz file of the bundle. Raises: BundleError, as `read`."""
        try:
            with np.load(io.BytesIO(self.read(file)), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except BundleError:
            raise
        except (ValueError, OSError, KeyError, EOFError, BadZipFile) as error:
            raise BundleError(f"{self.root / file.path}: not an array file: {error}") from None

    def verify(self, precision: Precision | None = None) -> None:
        """Hash every file, or only what running in `precision` needs.

        Raises:
            BundleError: a file is not what the manifest says.
        """
        others = {
            file.path
            for engine in self.manifest.engines.values()
            for name, file in engine.files.items()
            if precision is not None and name != precision
        }
        for file in self.manifest.files():
            if file.path not in others:
                self.read(file)

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
    if manifest.default_precision not in manifest.precisions:
        raise BundleError(
            f"{path}: default precision {manifest.default_precision}, but some engine lacks it"
        )
    return manifest
