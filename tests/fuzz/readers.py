"""What is fuzzed: each kind of file that is read, with a whole one to start from."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from tests.fuzz.bundles import card, graph
from tests.fuzz.fleet import fleet, track_events
from tests.fuzz.running import Reader, in_file
from tests.paths import SAMPLES

Made = Callable[[Path, Path], Reader]
"""Makes a reader of the stock in the first folder, with the second to work in."""


def _sealed(name: str, path: Path, content: bytes, use: Callable[[], Any]) -> Reader:
    """Of a file that carries a checksum: no damaged one may be read as anything else."""
    in_file(path)(content)
    whole = use()
    return Reader(name, (content,), in_file(path), use, lambda found: bool(found == whole))


def bundle_copy(base: Path, folder: Path) -> Path:
    """A bundle whose files are links to those of the stock."""
    copy = folder / "model.denet"
    shutil.copytree(base / "stock" / "old.denet", copy, copy_function=os.link)
    return copy


def manifest(base: Path, folder: Path) -> Reader:
    from runtime import Bundle

    root = bundle_copy(base, folder)
    path = root / "manifest.json"
    return _sealed("manifest", path, path.read_bytes(), lambda: Bundle.open(root).manifest)


def _resealed(root: Path, whole: Any, path: str, content: bytes) -> None:
    """A file of a bundle replaced, by somebody who corrects what the manifest says of it."""
    from runtime.bundle.writing import store, store_manifest

    (root / path).unlink()  # it may be a link to that of the stock
    changed = store(root, path, content)

    def renew(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("path") == path:
                return msgspec.to_builtins(changed)
            return {key: renew(each) for key, each in value.items()}
        return [renew(each) for each in value] if isinstance(value, list) else value

    (root / "manifest.json").unlink()
    store_manifest(root, msgspec.convert(renew(msgspec.to_builtins(whole)), type(whole)))


def _of_a_bundle(name: str, path: str) -> Made:
    def make(base: Path, folder: Path) -> Reader:
        from export.bundle import MIN_COSINE_FP32
        from runtime import Bundle, Runtime

        root = bundle_copy(base, folder)
        manifest = Bundle.open(root).manifest
        image = {
            m: SAMPLES / name / "000001_cam1_0_00.jpg"
            for m, name in (("rgb", "RGB"), ("nir", "NI"), ("tir", "TI"))
        }

        def embed() -> Any:
            with Runtime.load(root, "ort-cpu") as runtime:
                runtime.check()
                return runtime.embed(image)

        content, whole = (root / path).read_bytes(), embed()
        return Reader(
            name,
            (content,),
            lambda content: _resealed(root, manifest, path, content),
            embed,
            # The canary asks this of its golden inputs; what it lets pass is no other answer.
            lambda found: bool(found @ whole > 10 * MIN_COSINE_FP32 - 9),
        )

    return make


def gallery(base: Path, folder: Path) -> Reader:
    from runtime.gallery import open_gallery

    content = (base / "stock" / "people.db").read_bytes()
    path = folder / "people.db"

    def put(content: bytes) -> None:
        for each in folder.glob("people.db*"):
            each.unlink()
        path.write_bytes(content)

    put(content)
    with open_gallery(str(path)) as opened:
        entry = opened.entries()[0]
    space, state = entry.space, entry.state
    queries = np.random.default_rng(0).normal(size=(4, space.dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)

    def use() -> Any:
        with open_gallery(str(path)) as opened:
            found = opened.search(space, queries, [state] * 4, top=3)
            return (
                [[(m.identity, round(m.cosine, 6), m.entry) for m in row] for row in found],
                [(e.id, e.identity, e.state, e.time, e.source) for e in opened.entries()],
            )

    whole = use()
    return Reader("gallery", (content,), put, use, lambda found: bool(found == whole))


def outbox(_: Path, folder: Path) -> Reader:
    from runtime.node.events.outbox import Outbox

    path = folder / "outbox.db"
    sent = [(f"denet/{i}", b'{"number": %d}' % i * (1 + i % 5)) for i in range(40)]
    made = Outbox(path, 1 << 20)
    made.add(sent)
    made.close()
    content = path.read_bytes()

    def put(content: bytes) -> None:
        for each in folder.glob("outbox.db*"):
            each.unlink()
        path.write_bytes(content)

    def use() -> Any:
        opened = Outbox(path, 1 << 20)
        try:
            return [(m.topic, m.body) for m in opened.claim(100) if not m.damage]
        finally:
            opened.close()

    def right(found: Any) -> bool:
        """Those that are given out are right and in order; the others are told of."""
        rest = iter(sent)
        return all(each in rest for each in found)

    return Reader("outbox", (content,), put, use, right)


def embeddings(base: Path, folder: Path) -> Reader:
    from runtime.gallery.sightings import read_sightings

    path = folder / "e.npz"
    content = (base / "stock" / "e.npz").read_bytes()

    def use() -> Any:
        found = read_sightings(path)
        return found.space, found.names, found.states, found.embeddings.tobytes()

    return _sealed("npz", path, content, use)


def scores(base: Path, folder: Path) -> Reader:
    from runtime.gallery import open_gallery
    from runtime.gallery.scores import read_scores

    path = folder / "scores.json"
    content = (base / "stock" / "scores.json").read_bytes()
    with open_gallery(str(base / "stock" / "people.db")) as opened:
        space = opened.entries()[0].space
    return _sealed("scores", path, content, lambda: read_scores(path, space).table)


def calibration(base: Path, folder: Path) -> Reader:
    from calibration.request import CalibrationRequest
    from calibration.table import obtain_table
    from runtime import Bundle

    path = folder / "calibration.json"
    bundle = Bundle.open(base / "stock" / "old.denet")
    request = CalibrationRequest(data=base / "stock" / "data", table=path)

    def use() -> Any:
        return obtain_table(bundle, request, None, [], lambda _: None)  # type: ignore[arg-type]

    return _sealed("calibration", path, (base / "stock" / "calibration.json").read_bytes(), use)


def checkpoint(base: Path, folder: Path) -> Reader:
    from denet.checkpoint import load_checkpoint

    path = folder / "model.safetensors"
    content = (base / "stock" / "old.safetensors").read_bytes()

    def use() -> Any:
        model = load_checkpoint(path)
        return model.config, {k: v.numpy().tobytes() for k, v in model.state_dict().items()}

    return _sealed("checkpoint", path, content, use)


def recipe(base: Path, folder: Path) -> Reader:
    from denet.recipe import read_recipe

    path = folder / "recipe.toml"
    content = (base / "stock" / "tiny.toml").read_bytes()
    more = b"[train]\nlr = 1e-3\nmilestones = [1, 2]\n[augment]\nerase = 0.5\n"
    use = lambda: read_recipe(None, path)  # noqa: E731
    return Reader("recipe", (content, more), in_file(path), use, None)


def node(_: Path, folder: Path) -> Reader:
    from runtime.node import read_settings
    from tests.paths import ROOT

    path = folder / "node.toml"
    content = (ROOT / "docs" / "node.toml").read_bytes()
    return Reader("node.toml", (content,), in_file(path), lambda: read_settings(path), None)


CAMERAS = b"""
[rgb]
size = [640, 480]
[tir]
size = [320, 256]
homography = [[0.5, 0.0, 3.0], [0.0, 0.5, -2.0], [0.0, 0.0, 1.0]]
"""


def cameras(_: Path, folder: Path) -> Reader:
    from runtime.node.boxes.homography import read_views

    path = folder / "cameras.toml"
    return Reader("cameras", (CAMERAS,), in_file(path), lambda: read_views(path), None)


def boxes(_: Path, folder: Path) -> Reader:
    from runtime.node.boxes.box_file import read_boxes

    path = folder / "boxes.jsonl"
    named = b"".join(
        b'{"name": "%06d", "boxes": [[10, 20, 70, 180], [1.5, 2, 3, 4]]}\n' % i for i in range(8)
    )
    timed = b"".join(b'{"time": %d.5, "boxes": [[10, 20, 70, 180]]}\n' % i for i in range(8))
    return Reader("boxes", (named, timed), in_file(path), lambda: read_boxes(path, 0.1), None)


def detector(_: Path, folder: Path) -> Reader:
    """A model from a stranger: loaded, run on a blank picture, and asked for persons."""
    from runtime.node.boxes.detector.model import DetectorModel
    from runtime.node.boxes.detector.settings import NetworkSettings
    from tests.runtime.node.boxes.detector import models

    path = folder / "detector.onnx"
    person: models.Person = ((10.0, 10.0, 30.0, 50.0), 0.9, 0)
    names = {"names": "{0: 'person', 1: 'dog'}"}
    suppressed = models.model(path, {"o": models.suppressed([person], 4)}, metadata=names)
    content = suppressed.read_bytes()
    decoded = models.model(path, models.decoded([person], 3), frame_size=True).read_bytes()

    def use() -> Any:
        found = DetectorModel(NetworkSettings(model=str(path)), None, "boxes.detector")
        return found.find(np.zeros((64, 96), np.uint8), "tir", (0, 65535))

    return Reader("detector", (content, decoded), in_file(path), use, None)


def images(_: Path, folder: Path) -> Reader:
    from denet.images import read_image
    from runtime.preprocess import ImageError

    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
    colour, deep = Image.fromarray(pixels), Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    files = []
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF"):
        stream = io.BytesIO()
        colour.save(stream, kind)
        files.append(stream.getvalue())
    for kind in ("PNG", "TIFF"):
        stream = io.BytesIO()
        deep.save(stream, kind)
        files.append(stream.getvalue())
    files.append(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{ } loop\n")
    path = folder / "image.png"

    def use() -> Any:
        return np.asarray(read_image(path, ImageError)).shape

    return Reader("images", tuple(files), in_file(path), use, None)


def answers(_: Path, folder: Path) -> Reader:
    """What comes from a server: its embeddings, read as a client reads them."""
    from denet.reading import reading
    from runtime.serve import messages
    from runtime.serve.answer import read_answer
    from runtime.serve.contract import EMBEDDING, MADE_BY, MadeBy, ServeError

    vectors = np.random.default_rng(0).normal(size=(2, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made_by = MadeBy("a" * 64, "ort-cpu", "fp32").encode()
    whole = messages.ModelInferResponse(model_name="denet")
    texts = (len(made_by).to_bytes(4, "little") + made_by) * 2
    for name, kind, shape, content in (
        (EMBEDDING, "FP32", vectors.shape, vectors.astype("<f4").tobytes()),
        (MADE_BY, "BYTES", (2, 1), texts),
    ):
        whole.outputs.add(name=name, datatype=kind).shape.extend(shape)
        whole.raw_output_contents.append(content)
    path = folder / "answer"

    def use() -> Any:
        with reading("grpc://server", ServeError):  # as gRPC does
            response = messages.ModelInferResponse.FromString(path.read_bytes())
        found, _ = read_answer(response, 2, 8, "grpc://server")
        return float(abs(np.linalg.norm(found, axis=1) - 1).max())

    content = whole.SerializeToString(deterministic=True)
    return Reader("answers", (content,), in_file(path), use, lambda found: found <= 1e-3)


def requests(_: Path, folder: Path) -> Reader:
    """What comes from a client: an image, as the server's model unpacks and prepares it."""
    from runtime.preprocess import to_pillow
    from runtime.serve.wire import unpack

    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 3), np.uint8)
    contents = []
    for array in (pixels, pixels[..., 0].astype("<u2")):
        stream = io.BytesIO()
        np.save(stream, array)
        contents.append(stream.getvalue())
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG")
    path = folder / "image"

    def use() -> Any:
        image = unpack(path.read_bytes(), "row 0, rgb")
        return None if image is None else to_pillow(image, (0, 65535)).size

    return Reader("requests", (*contents, jpeg.getvalue()), in_file(path), use, None)


READERS: dict[str, Made] = {
    "manifest": manifest,
    "bundle, an engine": _of_a_bundle("bundle, an engine", "onnx/fp32/dem_rgb2tir.onnx"),
    "bundle, the canary": _of_a_bundle("bundle, the canary", "canary.npz"),
    "gallery": gallery,
    "outbox": outbox,
    "npz": embeddings,
    "scores": scores,
    "calibration": calibration,
    "checkpoint": checkpoint,
    "recipe": recipe,
    "node.toml": node,
    "cameras": cameras,
    "boxes": boxes,
    "detector": detector,
    "images": images,
    "answers": answers,
    "requests": requests,
    "fleet.toml": fleet,
    "track events": track_events,
    "model card": card,
    "optimized graph": graph,
}
"""Every kind of file, by name."""
