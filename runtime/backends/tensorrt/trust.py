"""Which built engines may be loaded. An engine is a program: its facts, and their digests, say what
it is, but whoever made it wrote them.

What this machine built is known by a code over the facts, with a key that is drawn at the first
build and stays with the user. What others built is taken where somebody whose key the node trusts
has signed for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from denet.files import written_whole
from denet.outputs import writing
from denet.reading import read_file, reading
from runtime.backends.tensorrt.files import (
    BuiltEngine,
    EngineFacts,
    EngineFileError,
    open_engine,
)
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import BUILT, Sha256
from runtime.bundle.signature import check_signature, write_signature
from runtime.machine.key import code_of, is_code, made_key, own_key

SIGNED = "engines.json"
"""In the folder of the engines: what is signed, with the signature beside it."""


class SignedEngines(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The engines that a signature is of, by the digests of their facts."""

    format: Literal["denet-engines"] = "denet-engines"
    engines: tuple[Sha256, ...]


def with_code(facts: EngineFacts) -> EngineFacts:
    """Facts of an engine that was built here just now, with the code that says so.

    Raises:
        EngineFileError: the key cannot be read or made.
    """
    return msgspec.structs.replace(facts, code=code_of(made_key(EngineFileError), _plain(facts)))


def built_here() -> Callable[[EngineFacts], bool]:
    """What says of the facts of an engine whether it was built here, as far as is known now.

    Raises:
        EngineFileError: the key of this machine cannot be read.
    """
    key = own_key(EngineFileError)
    return lambda facts: is_code(key, _plain(facts), facts.code)


def trusted_by(bundle: Bundle, key: Path | None) -> Callable[[EngineFacts], bool]:
    """Whether an engine of a bundle may be loaded, by its facts.

    Args:
        bundle: whose engines they are.
        key: a file of public keys whose signatures are trusted; None for none.

    Raises:
        BundleError: engines are signed, and the signature is not good.
        EngineFileError: the list of those that are signed, or the key of this machine, is damaged.
    """
    signed = frozenset() if key is None else _signed(bundle, key)
    own = built_here()
    return lambda facts: own(facts) or _digest(facts) in signed


def _digest(facts: EngineFacts) -> str:
    return hashlib.sha256(_plain(facts)).hexdigest()


def _plain(facts: EngineFacts) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(facts, code=""), order="deterministic")


def sign_engines(bundle: Bundle, key: Path) -> int:
    """Sign for the engines of a bundle that were built here, of all machines and forms: how many.

    Raises:
        BundleError: they cannot be signed.
        EngineFileError: the key of this machine cannot be read.
    """
    is_own = built_here()
    own = [built for built in _all(bundle) if is_own(built.facts)]
    if own:
        content = msgspec.json.encode(
            SignedEngines(engines=tuple(_digest(built.facts) for built in own))
        )
        listed = bundle.root / BUILT / SIGNED
        write_signature(_beside(listed), content, key)
        with writing(listed, EngineFileError), written_whole(listed) as temporary:
            temporary.write_bytes(content)
    return len(own)


def _all(bundle: Bundle) -> list[BuiltEngine]:
    found = []
    for path in sorted((bundle.root / BUILT).glob("*/*/*.engine")):
        try:
            built = open_engine(path)
            built.read()
        except EngineFileError:
            continue  # unfinished or damaged: it would not be loaded either
        found.append(built)
    return found


def _signed(bundle: Bundle, key: Path) -> frozenset[str]:
    listed = bundle.root / BUILT / SIGNED
    if not listed.exists():
        return frozenset()
    content = read_file(listed, EngineFileError)
    check_signature(_beside(listed), content, key)
    with reading(listed, EngineFileError, "not a list of engines"):
        return frozenset(msgspec.json.decode(content, type=SignedEngines).engines)


def _beside(listed: Path) -> Path:
    return listed.with_name(f"{listed.name}.sig")
