"""A bundle with one precision and nothing else: what a camera node needs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from denet.files import replaced_folder
from denet.outputs import check_free
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import PLATFORMS, PRECISIONS, Form, variant
from runtime.bundle.manifest import MANIFEST, BundleError
from runtime.bundle.writing import link, store_manifest


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
    if out.exists() and not (out / MANIFEST).is_file():
        raise BundleError(f"{out}: exists and is not a bundle: choose another name")
    check_free(out, BundleError, replace=replace)
    bundle.verify(forms)
    engines = {}
    for name, engine in manifest.engines.items():
        form: Form = forms[name]
        engines[name] = msgspec.structs.replace(engine, files={form: engine.files[form]})
    slimmed = msgspec.structs.replace(
        manifest,
        engines=engines,
        default_precision=precision,
        canary=msgspec.structs.replace(
            manifest.canary, min_cosine={wanted: manifest.canary.min_cosine[wanted]}
        ),
        mixed={platform: manifest.mixed[platform]} if precision == "mixed" and platform else {},
    )
    try:
        with replaced_folder(out) as root:
            for file in slimmed.files():
                if not (root / file.path).exists():
                    link(bundle.root, root, file)
            store_manifest(root, slimmed)
            Bundle.open(root)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror or error}") from None
    return Bundle.open(out)
