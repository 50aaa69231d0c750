"""A bundle on disk, read with verification.

A bundle is a directory `NAME.denet/` with `manifest.json` and the files that it lists. Nothing
in it is trusted before it is checked: the schema first, then that every file is inside the
bundle and has the stated size, then, whenever a file is read, its sha256.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from denet.temporary import settle
from runtime.bundle.forms import Form, Forms
from runtime.bundle.manifest import MANIFEST, BundleError, File, Manifest, read_manifest


class Bundle:
    """A bundle opened for reading; make one with `Bundle.open`.

    Attributes:
        root: its directory.
        manifest: what it says of itself.
        graph: of the model's modalities.
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self.graph = manifest.graph

    @classmethod
    def open(cls, root: Path | str) -> Bundle:
        """Open the bundle at `root`: check its schema, and that its files are there.

        Contents are hashed when they are read, or all at once by `verify`.

        Raises:
            BundleError: `root` is no bundle of this schema, lists a path that leaves the
                bundle, lacks a file or engine, or holds one of another size.
        """
        root = Path(root)
        settle(root)
        bundle = cls(root, read_manifest(root))
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
