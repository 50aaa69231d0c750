"""Packages that need not be there: whether one is absent, or there and broken."""

from __future__ import annotations


def absent(error: BaseException, *names: str) -> bool:
    """Whether `error` says that a module of exactly one of these names is not there.

    A package that is installed and lacks a module of its own, or another package, is not absent: to
    install it would change nothing.

    Args:
        error: what importing it raised.
        names: what was asked for, with the packages that it is in: "cuda", "cuda.bindings".
    """
    return isinstance(error, ModuleNotFoundError) and error.name in names


def broken(package: str, error: BaseException) -> str:
    """What to say of a package that is there and cannot be imported; names what it lacks."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"{package} is installed, but broken: {reason}"
