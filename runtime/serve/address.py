"""Where a served bundle is, and how to reach it: the setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from denet.secrets import remember_secret
from runtime.address import is_loopback, read_options, shown
from runtime.serve.contract import MODEL, ServeError, is_model_name

SCHEMES = ("grpc", "grpcs")

PORT = 8001
"""Triton's, of gRPC."""

FORM = "write grpc://HOST:PORT, or grpcs://HOST:PORT for TLS"

OPTIONS = ("ca", "certificate", "jpeg", "key", "plaintext", "timeout")


@dataclass(frozen=True)
class ServerAddress:
    """A model of a Triton server.

    Attributes:
        name: the setting as messages show it: without its options.
        target: host and port.
        model: its name there.
        tls: whether the way there is encrypted, and the server proves who it is.
        ca: file of the authorities that sign the server's certificate; None for the system's.
        certificate, key: files by which the client proves who it is; None where it need not.
        jpeg: the quality in which images are sent; None for their pixels.
        timeout: seconds for an answer.
    """

    name: str
    target: str
    model: str = MODEL
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    jpeg: int | None = None
    timeout: float = 5.0


def read_server_address(setting: str) -> ServerAddress:
    """The address that a setting names.

    Args:
        setting: "grpc://HOST:PORT/MODEL?OPTION=VALUE&...", with the options of `OPTIONS`.

    Raises:
        ServeError: it names none, or one to which pictures of people would go in plain sight.
    """
    try:
        parts = urlsplit(setting)
        port = PORT if parts.port is None else parts.port
    except ValueError as error:
        raise ServeError(f"{setting}: is no address of a server ({error}): {FORM}") from None
    if "@" in parts.netloc:
        remember_secret(parts.netloc.rpartition("@")[0].partition(":")[2])
        raise ServeError(
            f"{shown(parts)}: has a user in it: a client proves itself with a "
            "certificate: the options certificate and key"
        )
    host, model = parts.hostname or "", parts.path.strip("/") or MODEL
    if parts.scheme not in SCHEMES or not host or not port or parts.fragment:
        raise ServeError(f"{shown(parts)}: is no address of a server: {FORM}")
    if not is_model_name(model):
        raise ServeError(f"{shown(parts)}: {model[:64]!r} is no name of a model")
    options, tls = read_options(parts, OPTIONS, ServeError), parts.scheme == "grpcs"
    for name in ("ca", "certificate", "key"):
        if name in options and not tls:
            raise ServeError(f"{shown(parts)}: {name} is for TLS: write grpcs://")
    if ("certificate" in options) != ("key" in options):
        raise ServeError(f"{shown(parts)}: certificate and key go together: give both")
    plain = options.get("plaintext")
    if plain not in (None, "yes") or (plain and tls):
        raise ServeError(f"{shown(parts)}: plaintext={plain}: is yes, of grpc://, or not there")
    if not tls and not plain and not is_loopback(host):
        raise ServeError(
            f"{shown(parts)}: pictures of people would cross the network in plain sight: write "
            "grpcs://, or set the option plaintext to yes where the network is a protected one"
        )
    files = {name: Path(value) for name, value in options.items() if name in ("ca", "key")}
    certificate = options.get("certificate")
    return ServerAddress(
        name=shown(parts),
        target=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        model=model,
        tls=tls,
        certificate=None if certificate is None else Path(certificate),
        jpeg=_number(parts, options, "jpeg", 1, 100),
        timeout=_number(parts, options, "timeout", 1, 3600) or ServerAddress.timeout,
        **files,
    )


def _number(
    parts: SplitResult, options: dict[str, str], name: str, least: int, most: int
) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise ServeError(f"{shown(parts)}: {name}={text}: write a number from {least} to {most}")
    return int(text)
