"""Packages that need not be there: whether one is absent, or there and broken."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "train": {
        "jinja2",
        "lightning_fabric",
        "matplotlib",
        "onnx",
        "onnxscript",
        "pytorch_metric_learning",
        "safetensors",
        "sklearn",
        "timm",
        "torch",
        "torchvision",
    },
    "calibrate": {"jinja2", "matplotlib", "onnx", "onnx_ir"},
}
"""The packages of an extra, by the names that they are imported by."""

OWN = {"__main__", "calibration", "cli", "denet", "export", "runtime"}
"""The packages of this program; `cli` may be run as a script."""


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


def why_missing(error: ModuleNotFoundError, extra: str | None) -> str | None:
    """What to do about a module that a command misses; None where it is a mistake in this program.

    Args:
        error: what importing it raised.
        extra: of `EXTRAS`, that the command needs; None where it needs none.
    """
    missing = error.name or ""
    package = missing.partition(".")[0]
    if not package or package in OWN:
        return None
    unfound = _is_absent(package)
    if unfound and extra is not None and absent(error, *EXTRAS[extra]):
        return (
            f"this command needs {package}, which a camera node does not have: "
            f"pip install '.[{extra}]'"
        )
    # A package that is installed lacks a part of its own, or one that it needs.
    if not unfound:
        return f"the package {package} is broken: it has no {missing}: install it anew"
    importer = _importer(error)
    if importer in OWN:
        return None
    return f"the package {importer} is broken: it needs {missing}, which is not there"


def _is_absent(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ValueError:  # it is loaded, and does not tell from where
        return False


def _importer(error: ModuleNotFoundError) -> str:
    """The package whose code looked for the missing module."""
    packages = []
    trace = error.__traceback__
    while trace is not None:
        packages.append(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    return next(package for package in reversed(packages) if package != "importlib")
