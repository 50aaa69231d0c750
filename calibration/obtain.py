"""Where the ranges come from: a file, the bundle itself, or running its engines over samples."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from calibration.errors import CalibrationError
from calibration.observe import observe
from calibration.outcome import Request
from calibration.samples import Samples
from calibration.table import (
    Table,
    check_table,
    preprocessing_digest,
    read_table,
    weights_digest,
)
from runtime.bundle.bundle import Bundle


def obtain_table(
    bundle: Bundle,
    request: Request,
    samples: Samples,
    notes: list[str],
    notify: Callable[[int], None],
) -> Table:
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
        try:
            given = msgspec.json.decode(request.table.read_bytes(), type=Table)
        except OSError as error:
            raise CalibrationError(f"{request.table}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CalibrationError(f"{request.table}: not a calibration table: {error}") from None
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
    return Table(
        weights=weights_digest(bundle.manifest),
        preprocessing=preprocessing_digest(bundle.manifest),
        data=digest,
        source=str(request.data),
        samples=len(samples.calibration.records),
        seed=request.seed,
        engines=ranges,
    )
