"""The table of activation ranges: what a calibration has seen, and of which model and data.

Kept in the bundle as `calibration.json`. INT8 for another target is made from it without the data.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from calibration.errors import CalibrationError
from denet.graph import ENGINES
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Manifest

PATH = "calibration.json"

Method = Literal["minmax", "percentile", "entropy"]

PERCENTILE = 99.99
"""Of the values of a tensor, what the percentile method keeps inside its range, in per cent."""


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The range of one tensor, lowest and highest, by each method.

    The last two are known of the engines that INT8 quantizes; of an edge, only what occurred.
    """

    minmax: tuple[float, float]
    percentile: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None

    def by(self, method: Method) -> tuple[float, float]:
        found: tuple[float, float] | None = getattr(self, method)
        return self.minmax if found is None else found


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a calibration has seen.

    Attributes:
        weights: digest of the FP32 engines.
        preprocessing: digest of how images become input.
        data: digest of the samples: their names, and the content of their images.
        source: where they are, for a person.
        samples: how many.
        seed: of their choice.
        engines: of each engine that was seen, the ranges of its tensors by name.
    """

    schema: Literal[1] = 1
    weights: str
    preprocessing: str
    data: str
    source: str
    samples: int
    seed: int
    engines: dict[str, dict[str, Ranges]]

    def encode(self) -> bytes:
        """As JSON; equal tables give equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1)


def weights_digest(manifest: Manifest) -> str:
    """The sha256 over those of the FP32 engines.

    Raises:
        CalibrationError: the bundle does not hold FP32.
    """
    if manifest.forms("fp32", None) is None:
        raise CalibrationError("the bundle holds no FP32 engines to calibrate: export it again")
    lines = (f"{name} {manifest.engines[name].files['fp32'].sha256}\n" for name in ENGINES)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def preprocessing_digest(manifest: Manifest) -> str:
    """The sha256 of the preprocessing."""
    encoded = msgspec.json.encode(manifest.preprocessing, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def read_table(bundle: Bundle) -> Table | None:
    """The table of `bundle`; None if it has none.

    Raises:
        BundleError: the file is damaged.
        CalibrationError: it was made from another model or preprocessing.
    """
    calibration = bundle.manifest.calibration
    if calibration is None:
        return None
    path = bundle.root / calibration.table.path
    try:
        table = msgspec.json.decode(bundle.read(calibration.table), type=Table)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: not a calibration table: {error}") from None
    check_table(table, bundle, str(path))
    return table


def check_table(table: Table, bundle: Bundle, name: str) -> None:
    """See that a table belongs to a bundle.

    Raises:
        CalibrationError: it was made from another model or preprocessing; says which.
    """
    if table.weights != weights_digest(bundle.manifest):
        raise CalibrationError(
            f"{name}: was made from other weights than those of {bundle.root}: calibrate it with "
            "data"
        )
    if table.preprocessing != preprocessing_digest(bundle.manifest):
        raise CalibrationError(
            f"{name}: was made with another preprocessing than that of {bundle.root}: calibrate "
            "it with data"
        )
