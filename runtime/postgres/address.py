"""Where a database of PostgreSQL is, and as whom to connect: the setting."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from denet.errors import DenetError
from denet.reading import read_text
from denet.secrets import remember_secret, remember_secrets_of
from runtime.address import is_loopback, read_options, shown

SCHEMES = ("postgresql", "postgres")

FORM = "write postgresql://USER@HOST/DATABASE"

OPTIONS = ("ca", "host", "password_env", "password_file", "schema")

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Address:
    """A schema of a database.

    Attributes:
        name: the setting as messages show it: without user and options.
        host: of the server, or the folder of its socket.
        port: of the server.
        database: its name.
        user: who connects; "" for who runs the program, as psql does.
        schema: of the database, in which the tables are.
        ca: file of the authorities that sign the server's certificate; None for the system's.
        password: None for what libpq finds (PGPASSWORD, ~/.pgpass), if one is needed.
    """

    name: str
    host: str
    port: int
    database: str
    user: str = ""
    schema: str = "denet"
    ca: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def local(self) -> bool:
        """Whether nothing leaves this machine on the way to the server."""
        return self.host.startswith("/") or is_loopback(self.host)

    def parameters(self) -> dict[str, str | int]:
        """What libpq is told. TLS with a verified certificate, except on this machine."""
        plain = self.local and self.ca is None
        found: dict[str, str | int] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "sslmode": "prefer" if plain else "verify-full",
            "gssencmode": "disable",
            "client_encoding": "UTF8",
            "application_name": "denet",
        }
        if not plain:
            found["sslrootcert"] = self.ca or _authorities()
        if self.user:
            found["user"] = self.user
        if self.password is not None:
            found["password"] = self.password
        return found


def remember_secrets_in(setting: str, more: Sequence[str] = ()) -> None:
    """Keep out of messages what may be a secret in a setting. The options that there are name files
    and variables, which messages are to show.

    Args:
        setting: of a database, or of what else may stand in its place.
        more: options beside `OPTIONS`.
    """
    known = (*OPTIONS, *more)
    before, _, options = setting.rpartition("?")
    plain = bool(before) and all(o.partition("=")[0] in known for o in options.split("&"))
    remember_secrets_of(before if plain else setting)


def read_address(
    setting: str, error: type[DenetError], *, schema: str, more: Sequence[str] = ()
) -> tuple[Address, dict[str, str]]:
    """The address that a setting names, and its options.

    Args:
        setting: "postgresql://USER@HOST:PORT/DATABASE?schema=NAME&password_file=PATH".
        error: to raise.
        schema: where none is given.
        more: options that there are beside `OPTIONS`; what they may be is for the caller to see.

    Raises:
        error: it names none, or its password cannot be read.
    """
    try:
        parts = urlsplit(setting)
        port = parts.port or 5432
    except ValueError as reason:
        named = setting.rpartition("@")[2]
        raise error(f"{named}: is no address of a database ({reason}): {FORM}") from None
    if parts.scheme not in SCHEMES:
        raise error(f"{shown(parts)}: is no address of a database: {FORM}")
    if parts.password is not None:
        remember_secret(parts.password)
        raise error(
            f"{shown(parts)}: has a password in it: give its file with the option password_file, "
            "or its variable with password_env"
        )
    options = read_options(parts, sorted((*OPTIONS, *more)), error)
    host, database = options.get("host") or parts.hostname or "", unquote(parts.path[1:])
    if not host or not database or "/" in database or parts.fragment:
        raise error(f"{shown(parts)}: is no address of a database: {FORM}")
    named = options.get("schema", schema)
    if not _SCHEMA.fullmatch(named) or named.startswith("pg_"):
        raise error(f"schema={named}: is no name of a schema: write small letters, digits and _")
    ca = options.get("ca")
    if ca is not None:
        read_text(Path(ca), error)  # libpq's message would not say what is wrong with it
    address = Address(
        name=shown(parts) + (f" (schema {named})" if "schema" in options else ""),
        host=host,
        port=port,
        database=database,
        user=unquote(parts.username or ""),
        schema=named,
        ca=ca,
        password=_password(options, error),
    )
    return address, options


def _password(options: dict[str, str], error: type[DenetError]) -> str | None:
    file, variable = options.get("password_file"), options.get("password_env")
    if file is not None and variable is not None:
        raise error("password_file and password_env are both set: remove one")
    if file is not None:
        value = read_text(Path(file), error).rstrip("\r\n")
    elif variable is not None:
        found = os.environ.get(variable)
        if found is None:
            raise error(f"password_env: the variable {variable} is not set")
        value = found
    else:
        remember_secret(os.environ.get("PGPASSWORD", ""))
        return None
    remember_secret(value)
    return value


def _authorities() -> str:
    """The system's: the library that psycopg brings may look for them elsewhere."""
    return ssl.get_default_verify_paths().cafile or "system"
