"""A bundle with one precision and nothing else: what a camera node needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from denet.files import replaced_folder
from denet.outputs import writing
from runtime.bundle.bundle import Bundle
from runtime.bundle.contents import check_out, check_replaced
from runtime.bundle.forms import PLATFORMS, PRECISIONS, Form, variant
from runtime.bundle.manifest import BundleError, Evidence, Manifest
from runtime.bundle.writing import link, store_manifest


def _judged(manifest: Manifest, wanted: str) -> dict[str, Evidence] | msgspec.UnsetType:
    """What was found of the variant that stays; of FP32, what was found of it beside others."""
    if manifest.judged is msgspec.UNSET:
        return msgspec.UNSET
    if wanted == "fp32":
        return dict(list(manifest.judged.items())[:1])
    return {name: found for name, found in manifest.judged.items() if name == wanted}


def slim(bundle: Bundle, out: Path, wanted: str, *, replace: bool = False) -> Bundle:
    """Write the part of `bundle` that running `wanted` takes to a new bundle at `out`.

    Args:
        bundle: the whole.
        out: the directory to make.
        wanted: one of the bundle's variants, such as "int8-vnni".
        replace: replace a bundle that is at `out`.

    Raises:
        BundleError: the bundle has no such variant or is damaged, or `out` is in the way or
            cannot be written.
    """
    manifest = bundle.manifest
    found = next(
        ((p, t) for p in PRECISIONS for t in PLATFORMS if variant(p, t) == wanted), (None, None)
    )
    precision, platform = found
    forms = None if precision is None else manifest.forms(precision, platform)
    if precision is None or forms is None:
        raise BundleError(f"{bundle.root}: has no {wanted!r}, only {', '.join(manifest.variants)}")
    check_out(out, BundleError, replace=replace)
    bundle.verify(forms)
    engines = {}
    for name, engine in manifest.engines.items():
        form: Form = forms[name]
        engines[name] = msgspec.structs.replace(engine, files={form: engine.files[form]})
    slimmed = msgspec.structs.replace(
        manifest,
        engines=engines,
        default_precision=precision,
        judged=_judged(manifest, wanted),
        mixed={platform: manifest.mixed[platform]} if precision == "mixed" and platform else {},
    )
    # A choice of nothing but INT8 is both.
    limits = {name: manifest.canary.min_cosine[name] for name in slimmed.variants}
    slimmed = msgspec.structs.replace(
        slimmed, canary=msgspec.structs.replace(manifest.canary, min_cosine=limits)
    )
    replaceable = partial(check_replaced, out, BundleError, replace=replace)
    with writing(out, BundleError), replaced_folder(out, replaceable) as root:
        for file in slimmed.files():
            if not (root / file.path).exists():
                link(bundle.root, root, file)
        store_manifest(root, slimmed)
        Bundle.open(root)
    return Bundle.open(out)
