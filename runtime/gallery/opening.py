"""Opens a gallery by a setting that looks like a URL, so that another kind can stand behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from denet.packages import absent, broken
from runtime.gallery.file import FileGallery
from runtime.gallery.managed import ManagedGallery
from runtime.gallery.space import GalleryError
from runtime.gallery.storage import STORAGES, Storage

if TYPE_CHECKING:
    from runtime.gallery.postgres.address import GalleryAddress
    from runtime.gallery.postgres.gallery import PostgresGallery

SCHEMES = ("file", "postgresql")

CENTRAL = ("postgresql", "postgres")
"""Schemes of galleries in PostgreSQL."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)")
"""Of two characters at least: `C:\\gallery.db` is a path."""


def open_gallery(
    setting: str, *, create: bool = False, storage: str | None = None, read_only: bool = False
) -> ManagedGallery:
    """The gallery at `setting`.

    Args:
        setting: "file:gallery.db", "file:///var/lib/denet/gallery.db", a plain path, or
            "postgresql://USER@HOST/DATABASE" with options, see `postgres.address`.
        create: make it where it is not there.
        storage: "float32", "float16" or "int8"; None for what it has, or float16 for a new one.
        read_only: leave its file as it is; nobody can be enrolled or removed. In PostgreSQL, what
            the user may do is a matter of roles.

    Raises:
        GalleryError: there is no such kind of gallery or storage, or it cannot be used.
    """
    if is_central(setting):
        return open_central(setting, create=create, storage=storage)
    return FileGallery(
        _path(setting), create=create, storage=_storage(storage), read_only=read_only
    )


def open_file(setting: str, *, read_only: bool = False) -> FileGallery:
    """The gallery in a file, which is there. Raises: as `open_gallery`."""
    return FileGallery(_path(setting), read_only=read_only)


def open_central(
    setting: str, *, create: bool = False, storage: str | None = None
) -> PostgresGallery:
    """The gallery in PostgreSQL. Raises: as `open_gallery`."""
    address = _address(setting)
    from runtime.gallery.postgres.gallery import PostgresGallery

    return PostgresGallery(address, create=create, storage=_storage(storage))


def check_central(setting: str) -> None:
    """See that a database can be reached, whether there is a gallery in it or not.

    Raises:
        GalleryError: it cannot, or has another thing where a gallery would be.
    """
    address = _address(setting)
    from runtime.gallery.postgres.gallery import reach

    reach(address)


def is_central(setting: str) -> bool:
    """Whether a setting names a gallery in PostgreSQL."""
    match = _SCHEME.fullmatch(setting)
    return match is not None and match[1].lower() in CENTRAL


def check_setting(setting: str, storage: str | None) -> None:
    """See that a gallery may be at `setting`, before work for it is done; nothing is
    made.

    Raises:
        GalleryError: there is no such kind of gallery or storage, or no such folder.
    """
    _storage(storage)
    if is_central(setting):
        check_central(setting)
        return
    path = _path(setting)
    if not path.absolute().parent.is_dir():
        raise GalleryError(f"{path}: its folder does not exist: make it first")


def _address(setting: str) -> GalleryAddress:
    if not is_central(setting):
        raise GalleryError(f"{setting}: is a file: this is for galleries in PostgreSQL")
    from runtime.gallery.postgres.address import read_address

    address = read_address(setting)
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        if not absent(error, "psycopg"):
            raise GalleryError(f"PostgreSQL: {broken('psycopg', error)}") from error
        raise GalleryError("PostgreSQL needs psycopg: pip install '.[central]'") from None
    return address


def _storage(name: str | None) -> Storage | None:
    if name is not None and name not in STORAGES:
        raise GalleryError(f"storage {name!r}: choose from {', '.join(STORAGES)}")
    return next((known for known in STORAGES if known == name), None)


def _path(setting: str) -> Path:
    if is_central(setting):
        raise GalleryError(
            f"{setting}: is in PostgreSQL: this is for files (`denet gallery move` makes one of it)"
        )
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
