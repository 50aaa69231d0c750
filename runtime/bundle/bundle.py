"""A bundle on disk, read with verification.

A bundle is a directory `NAME.denet/` with `manifest.json` and the files that it lists. Nothing
in it is trusted before it is checked: the manifest first, then that every file is where a file of
the bundle may be and has the stated size, then, whenever a file is read, its sha256.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from denet.files import file_digest
from denet.reading import open_regular, read_file, reading
from denet.temporary import settle
from runtime.bundle.forms import Form, Forms
from runtime.bundle.links import allowed_roots
from runtime.bundle.manifest import (
    LIMIT,
    MANIFEST,
    BundleError,
    File,
    Manifest,
    parse_manifest,
)
from runtime.bundle.meaning import check_meaning
from runtime.bundle.self_contained import check_self_contained
from runtime.npz import unpacked
from runtime.seal import sealed


class Bundle:
    """A bundle opened for reading; make one with `Bundle.open`.

    Attributes:
        root: its directory.
        manifest: what it says of itself.
        content: the bytes of the manifest's file, which by their digests say what all others are.
        graph: of the model's modalities.
    """

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        content: bytes | None = None,
        roots: tuple[Path, ...] = (),
    ) -> None:
        self.root = root
        self.manifest = manifest
        self.content = sealed(manifest) if content is None else content
        self.graph = manifest.graph
        self._roots = roots or allowed_roots(root)

    @classmethod
    def open(cls, root: Path | str, roots: Iterable[Path] = ()) -> Bundle:
        """Open the bundle at `root`: check its schema, and that its files are there.

        Contents are hashed when they are read, or all at once by `verify`.

        Args:
            root: its directory.
            roots: folders that links in the bundle may lead to, besides those that
                `links.allowed_roots` knows.

        Raises:
            BundleError: `root` is no bundle of this schema, or its manifest is damaged or does not
                fit together; it lists a path that leaves the bundle, lacks a file or engine, or
                holds one of another size.
        """
        root = Path(root)
        with reading(root, BundleError):
            settle(root)
            if not root.exists():
                raise BundleError(f"{root}: there is no such bundle (make one with `denet export`)")
            if not (root / MANIFEST).is_file():
                raise BundleError(f"{root}: not a bundle: it has no {MANIFEST}")
            allowed = allowed_roots(root, roots)
        path = root / MANIFEST
        _check_place(path, allowed, root, MANIFEST)
        content = read_file(path, BundleError, LIMIT)
        manifest = parse_manifest(path, content)
        check_meaning(path, manifest)
        bundle = cls(root, manifest, content, allowed)
        for file in bundle.manifest.files():
            bundle._locate(file)
        return bundle

    def read(self, file: File) -> bytes:
        """The content of `file`.

        Raises:
            BundleError: it cannot be read, or is not what the manifest says.
        """
        path = self._locate(file)
        with reading(path, BundleError), open_regular(path) as stream:
            content = stream.read(file.bytes + 1)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _damaged(path)
        return content

    def _check(self, file: File) -> None:
        """As `read`, without its content."""
        path = self._locate(file)
        with reading(path, BundleError):
            digest = file_digest(path)
        if digest != file.sha256:
            raise _damaged(path)

    def read_engine(self, engine: str, form: Form) -> bytes:
        """The ONNX model of an engine in `form`.

        Raises:
            BundleError: as `read`, or the model refers to something outside of it.
        """
        file = self.manifest.engines[engine].files[form]
        content = self.read(file)
        check_self_contained(content, self.root / file.path, BundleError)
        return content

    def read_arrays(self, file: File) -> dict[str, NDArray[Any]]:
        """The arrays of an npz file of the bundle. Raises: BundleError, as `read`."""
        path = self.root / file.path
        with reading(path, BundleError, "not an array file"):
            return unpacked(io.BytesIO(self.read(file)), file.bytes)

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
        if pure.is_absolute() or ".." in pure.parts or "\\" in file.path:
            raise _leaving(self.root, file.path)
        _check_place(path, self._roots, self.root, file.path)
        with reading(path, BundleError):
            if not path.is_file():
                raise BundleError(f"{path}: missing from the bundle")
            size = path.stat().st_size
        if size != file.bytes:
            raise BundleError(f"{path}: damaged: {size} bytes instead of {file.bytes}")
        return path


def _check_place(path: Path, roots: Iterable[Path], root: Path, name: str) -> None:
    """See that a path of the bundle at `root` ends where a file of it may be."""
    try:
        place = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a loop of links
        raise BundleError(
            f"{root / MANIFEST}: the path {name[:80]!r} is no file's: {error}"
        ) from None
    if not any(place.is_relative_to(allowed) for allowed in roots):
        raise _leaving(root, name)


def _leaving(root: Path, name: str) -> BundleError:
    return BundleError(
        f"{root / MANIFEST}: the path {name[:80]!r} leaves the bundle: put the file itself there, "
        "or name the folder that it may be in by DENET_BUNDLE_ROOTS"
    )


def _damaged(path: Path) -> BundleError:
    return BundleError(f"{path}: damaged: its sha256 is not the one in {MANIFEST}")
