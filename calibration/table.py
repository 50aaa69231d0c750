"""The table of activation ranges: what a calibration has seen, and of which model and data.

Kept in the bundle as `calibration.json`. From it INT8 for another platform is made without the
data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from calibration.errors import CalibrationError
from calibration.observe import observe
from calibration.ranges import Ranges
from calibration.request import CalibrationRequest
from calibration.samples import Samples
from denet.reading import read_file, reading
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import Count, Manifest, Sha256
from runtime.seal import KEY, is_sealed, sealed

PATH = "calibration.json"

NO_TABLE = "not a calibration table"


class RangeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a calibration has seen; its file is sealed (`runtime.seal`).

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
    weights: Sha256
    preprocessing: Sha256
    data: str
    source: str
    samples: Count
    seed: int
    engines: dict[str, dict[str, Ranges]]

    def encode(self) -> bytes:
        """As JSON with its digest; equal tables give equal bytes."""
        return sealed(msgspec.to_builtins(self, order="deterministic"), indent=1)


def weights_digest(manifest: Manifest) -> str:
    """The sha256 over those of the FP32 engines.

    Raises:
        CalibrationError: the bundle does not hold FP32.
    """
    if manifest.forms("fp32", None) is None:
        raise CalibrationError("the bundle holds no FP32 engines to calibrate: export it again")
    engines = manifest.graph.engines
    lines = (f"{name} {manifest.engines[name].files['fp32'].sha256}\n" for name in engines)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def preprocessing_digest(manifest: Manifest) -> str:
    """The sha256 of the preprocessing."""
    encoded = msgspec.json.encode(manifest.preprocessing, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def read_table(bundle: Bundle) -> RangeTable | None:
    """The table of `bundle`; None if it has none.

    Raises:
        BundleError: the file is damaged.
        CalibrationError: it was made from another model or preprocessing.
    """
    calibration = bundle.manifest.calibration
    if calibration is None:
        return None
    path = bundle.root / calibration.table.path
    table = _decoded(bundle.read(calibration.table), path)
    check_table(table, bundle, str(path))
    return table


def _decoded(content: bytes, path: Path) -> RangeTable:
    with reading(path, CalibrationError, NO_TABLE):
        document = msgspec.json.decode(content, type=dict[str, Any])
        document.pop(KEY, None)
        return msgspec.convert(document, RangeTable)


def check_table(table: RangeTable, bundle: Bundle, name: str) -> None:
    """See that a table belongs to a bundle.

    Raises:
        CalibrationError: it was made from another model or preprocessing, or is of an engine that
            there is not; says which.
    """
    if unknown := sorted(set(table.engines) - set(bundle.graph.engines)):
        raise CalibrationError(f"{name}: has ranges of an unknown engine {unknown[0][:80]}")
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


def obtain_table(
    bundle: Bundle,
    request: CalibrationRequest,
    samples: Samples,
    notes: list[str],
    notify: Callable[[int], None],
) -> RangeTable:
    """The ranges: from a file, from the bundle if they are of the same samples, or new ones.

    Args:
        bundle: to calibrate.
        request: may name the file.
        samples: those that calibrate are observed.
        notes: gets a line on what a person should know.
        notify: told of so many samples more.

    Raises:
        CalibrationError: the file cannot be read, or is of another model.
        DataError: a sample cannot be read.
    """
    if request.table is not None:
        content = read_file(request.table, CalibrationError)
        given = _decoded(content, request.table)
        if not is_sealed(content):
            raise CalibrationError(
                f"{request.table}: damaged or edited: its digest is not that of its content: take "
                "it from its bundle once more, or calibrate with data"
            )
        check_table(given, bundle, str(request.table))
        return given
    digest = samples.calibration.digest()
    try:
        known = read_table(bundle)
    except CalibrationError as error:
        notes.append(f"{error}: made anew")
        known = None
    if known is not None and (known.data, known.seed) == (digest, request.seed):
        notes.append("the ranges in the bundle are of the same samples: kept")
        return known
    ranges = observe(
        bundle,
        samples.calibration,
        request.threads,
        request.batch,
        notify,
    )
    return RangeTable(
        weights=weights_digest(bundle.manifest),
        preprocessing=preprocessing_digest(bundle.manifest),
        data=digest,
        source=str(request.data),
        samples=len(samples.calibration.records),
        seed=request.seed,
        engines=ranges,
    )
