"""Reads the configuration of a fleet for a command, and sees that what it needs is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from denet.packages import absent

if TYPE_CHECKING:
    from runtime.fleet.settings import FleetSettings


def read_installed(config: Path) -> FleetSettings:
    """The configuration at `config`; what is not installed is told before anything is done.

    Raises:
        FleetError: it is none, or a package is missing.
    """
    from runtime.fleet.errors import FleetError
    from runtime.fleet.settings import read_fleet_settings

    settings = read_fleet_settings(config)
    for package, extra, needed in (
        ("psycopg", "central", True),
        ("paho.mqtt.client", "node", settings.broker is not None),
    ):
        try:
            if needed:
                __import__(package)
        except ImportError as error:
            if not absent(error, "psycopg", "paho", "paho.mqtt"):
                raise
            name = package.partition(".")[0]
            raise FleetError(f"needs {name}: pip install '.[{extra}]'") from None
    return settings
