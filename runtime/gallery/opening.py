"""Opens a gallery by a setting that looks like a URL, so that another kind can stand behind it."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.gallery.base import Gallery
from runtime.gallery.file import FileGallery
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import STORAGES, Storage

SCHEMES = ("file",)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)")
"""Of two characters at least: `C:\\gallery.db` is a path."""


def open_gallery(
    setting: str, *, create: bool = False, storage: str | None = None, read_only: bool = False
) -> Gallery:
    """The gallery at `setting`.

    Args:
        setting: "file:gallery.db", "file:///var/lib/denet/gallery.db", or a plain path.
        create: make it where it is not there.
        storage: "float32", "float16" or "int8"; None for what it has, or float16 for a new one.
        read_only: leave its file as it is; nobody can be enrolled or removed.

    Raises:
        GalleryError: there is no such kind of gallery or storage, or it cannot be used.
    """
    return FileGallery(
        _path(setting), create=create, storage=_storage(storage), read_only=read_only
    )


def open_file(setting: str, *, read_only: bool = False) -> FileGallery:
    """The gallery in a file, which is there. Raises: as `open_gallery`."""
    return FileGallery(_path(setting), read_only=read_only)


def check_setting(setting: str, storage: str | None) -> None:
    """See that a gallery may be at `setting`, before work for it is done; its file is not touched.

    Raises:
        GalleryError: there is no such kind of gallery or storage, or no such folder.
    """
    _storage(storage)
    path = _path(setting)
    if not path.absolute().parent.is_dir():
        raise GalleryError(f"{path}: its folder does not exist: make it first")


def _storage(name: str | None) -> Storage | None:
    if name is not None and name not in STORAGES:
        raise GalleryError(f"storage {name!r}: choose from {', '.join(STORAGES)}")
    return next((known for known in STORAGES if known == name), None)


def _path(setting: str) -> Path:
    match = _SCHEME.fullmatch(setting)
    scheme, rest = (match[1].lower(), match[2]) if match else ("file", setting)
    if scheme not in SCHEMES:
        raise GalleryError(
            f"{setting}: there is no kind of gallery {scheme!r}, only "
            f"{', '.join(SCHEMES)}: write file:gallery.db, or a path"
        )
    path = rest.removeprefix("//") if match else rest
    if not path or (match and rest.startswith("//") and not rest.startswith("///")):
        raise GalleryError(f"{setting!r}: names no file: write file:gallery.db, or a path")
    return Path(path)
