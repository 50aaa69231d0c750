"""Writes what a calibration made into the bundle, all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec

from calibration.emit import Emitted
from calibration.errors import CalibrationError
from calibration.table import PATH
from denet.files import replaced_folder
from denet.outputs import SIZE, check_place, writing
from runtime.bundle.bundle import Bundle
from runtime.bundle.contents import check_replaced
from runtime.bundle.forms import Form, Platform, Precision
from runtime.bundle.manifest import BUILT, Calibration, Engine, Evidence, File, Manifest, Mixed
from runtime.bundle.writing import link, link_folder, store, store_manifest

AS_IT_WAS = "; it is as it was"


def check_in_place(root: Path) -> None:
    """See that nothing is lost where the bundle at `root` is replaced by what it becomes.

    Raises:
        CalibrationError: it holds files that are not its own; names one.
    """
    check_replaced(root, CalibrationError, replace=True)


def check_writable(bundle: Bundle, size: int = SIZE) -> None:
    """See that a bundle can be replaced by what it becomes, before the work for that is done.

    Args:
        bundle: to replace; what stays of it takes no room again.
        size: bytes that are new, at least.

    Raises:
        CalibrationError: it cannot be, or holds files that are not its own; names one.
    """
    check_in_place(bundle.root)
    check_place(bundle.root, CalibrationError, size=max(SIZE, size))


def write(
    bundle: Bundle,
    emitted: Emitted,
    table: bytes,
    *,
    calibration: Mapping[str, object],
    mixed: Mapping[Platform, Mixed],
    judged: Mapping[str, Evidence],
    min_cosine: Mapping[str, float],
    default: Precision,
) -> Bundle:
    """Replace `bundle` by one that also holds `emitted`.

    What earlier calibrations left is replaced, for other platforms too: it would belong to another
    table. The FP32 engines stay as they are.

    Args:
        bundle: with FP32.
        emitted: new forms of its engines.
        table: the encoded table of ranges.
        calibration: the fields of `runtime.bundle.Calibration` but for the table.
        mixed: a choice for each platform.
        judged: what was found of the new variants; of those that some engine lacks, nothing is
            kept.
        min_cosine: of the canary, for the new variants.
        default: the bundle's precision from now on.

    Raises:
        CalibrationError: it cannot be written; the bundle is as it was.
    """
    manifest = bundle.manifest
    with (
        writing(bundle.root, CalibrationError, AS_IT_WAS),
        replaced_folder(bundle.root, partial(check_in_place, bundle.root)) as root,
    ):
        kept = {name: {"fp32": e.files["fp32"]} for name, e in manifest.engines.items()}
        for file in (*(f["fp32"] for f in kept.values()), manifest.canary.file):
            link(bundle.root, root, file)
        for other in (manifest.head.affine, manifest.scores):
            if isinstance(other, File):
                link(bundle.root, root, other)
        # Engines that were built of what stays the same are still good.
        link_folder(bundle.root / BUILT, root / BUILT)
        engines: dict[str, Engine] = {}
        for name, engine in manifest.engines.items():
            files: dict[Form, File] = {"fp32": engine.files["fp32"]}
            stored: dict[bytes, File] = {}
            for form in emitted.forms(name):
                model = emitted.models[name, form]
                if model not in stored:
                    stored[model] = store(root, f"onnx/{form}/{name}.onnx", model)
                files[form] = stored[model]
            engines[name] = msgspec.structs.replace(engine, files=files)
        limits = {"fp32": manifest.canary.min_cosine["fp32"], **min_cosine}
        new: Manifest = msgspec.structs.replace(
            manifest,
            engines=engines,
            default_precision=default,
            canary=msgspec.structs.replace(manifest.canary, min_cosine=limits),
            calibration=msgspec.convert(
                {"table": msgspec.to_builtins(store(root, PATH, table)), **calibration},
                Calibration,
            ),
            mixed=dict(mixed),
        )
        kept_evidence = {name: each for name, each in judged.items() if name in new.variants}
        store_manifest(root, msgspec.structs.replace(new, judged=kept_evidence))
        Bundle.open(root).verify()
    return Bundle.open(bundle.root)
