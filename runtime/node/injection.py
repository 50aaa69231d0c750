"""Faults on purpose for a node that runs: `--inject`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from denet.reading import read_toml
from runtime.node.errors import NodeError
from runtime.node.faults import FaultSettings

FORM = "KEY=VALUE;KEY=VALUE, such as every=100;kinds=black|frozen, or a TOML file of such keys"


def read_faults(setting: str) -> FaultSettings:
    """The faults that `--inject` asks for.

    Args:
        setting: see `FORM`; "" for all kinds at the usual rate.

    Raises:
        NodeError: it is not of that form; says what is wrong.
    """
    path = Path(setting)
    values = read_toml(path, NodeError) if path.suffix == ".toml" else None
    try:
        values = _values(setting) if values is None else values
        faults = msgspec.convert(values, FaultSettings, strict=False)
    except ValueError as error:  # of TOML, of msgspec, and of the faults
        raise NodeError(f"--inject {setting!r}: {error}: write {FORM}") from None
    return faults


def _values(setting: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in setting.split(";"))):
        key, equals, value = part.partition("=")
        if not equals:
            raise NodeError(f"{part!r} is no KEY=VALUE")
        is_list = key.strip() == "kinds"
        values[key.strip()] = (
            [kind.strip() for kind in value.split("|")] if is_list else value.strip()
        )
    return values
