"""The runtime's preprocessing against torchvision, bit by bit, and the images that it refuses."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from denet.config import ModelConfig, Normalization
from denet.data.transforms import evaluation_transform
from denet.graph import RGB_NIR_TIR, Modality
from runtime import ImageError
from runtime.bundle import manifest as schema
from runtime.preprocess import Preprocessor, to_pillow

MODALITIES = RGB_NIR_TIR.modalities

# Another mean and std in each channel: a channel order mixed up would be seen.
CONFIG = ModelConfig(
    image_size=(64, 32),
    normalization={
        "nir": Normalization(mean=(0.1, 0.2, 0.3), std=(0.7, 0.8, 0.9)),
        "tir": Normalization(mean=(0.5, 0.4, 0.3), std=(0.31, 0.17, 0.23), range16=(7000, 9000)),
    },
)
HEIGHT, WIDTH = CONFIG.image_size
MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA")

sides = st.integers(1, 300)
seeds = st.integers(0, 2**32 - 1)


def preprocessor(config: ModelConfig) -> Preprocessor:
    height, width = config.image_size
    return Preprocessor(
        schema.Preprocessing(
            height=height,
            width=width,
            interpolation="bilinear",
            modalities={
                m: schema.NormalizationSpec(mean=n.mean, std=n.std, range16=n.range16)
                for m in MODALITIES
                for n in [config.normalization_of(m)]
            },
        )
    )


PREPROCESS = preprocessor(CONFIG)
TRUTH = {m: evaluation_transform(CONFIG, m) for m in MODALITIES}


def truth(image: Image.Image, modality: Modality = "rgb") -> NDArray[np.float32]:
    return TRUTH[modality](image).numpy()


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def picture(mode: str, size: tuple[int, int] = (50, 70)) -> Image.Image:
    """An image of `mode` with random content; (width, height)."""
    colours = Image.fromarray(noise((size[1], size[0], 3)))
    if mode == "P":
        return colours.quantize(17)
    if mode in ("RGBA", "LA"):
        image = colours.convert(mode)
        image.putalpha(Image.fromarray(noise((size[1], size[0]), seed=1)))
        return image
    return colours.convert(mode)


def levels(array: NDArray[np.integer], low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The least and the greatest 8-bit level that each 16-bit value may become.

    Exact, in integers: 255 * d / r rounded to the nearest; both differ at exact ties alone.
    """
    d = np.clip(array.astype(np.int64), low, high) - low
    r = high - low
    least = -((r - 510 * d) // (2 * r))
    greatest = (510 * d + r) // (2 * r)
    return least, greatest


def assert_levels(found: Image.Image, array: NDArray[np.integer], low: int, high: int) -> None:
    least, greatest = levels(array, low, high)
    pixels = np.asarray(found).astype(int)
    assert pixels.shape == array.shape
    assert (pixels >= least).all()
    assert (pixels <= greatest).all()


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_8_bit_value_gives_the_numbers_of_torchvision(modality: Modality) -> None:
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    image = np.stack([values, values[::-1], values[:, ::-1]], axis=2)
    assert np.array_equal(PREPROCESS(image, modality), truth(Image.fromarray(image), modality))


@settings(deadline=None, max_examples=150)
@given(height=sides, width=sides, seed=seeds, modality=st.sampled_from(MODALITIES))
@example(height=1, width=1, seed=0, modality="rgb")
@example(height=1, width=300, seed=0, modality="nir")
@example(height=300, width=1, seed=0, modality="tir")
@example(height=HEIGHT, width=WIDTH, seed=0, modality="rgb")
@example(height=WIDTH, width=HEIGHT, seed=0, modality="rgb")
@example(height=HEIGHT, width=WIDTH + 1, seed=0, modality="rgb")
def test_colour_images_of_any_size_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int, modality: Modality
) -> None:
    image = noise((height, width, 3), seed)
    found = PREPROCESS(image, modality)
    assert found.shape == (3, HEIGHT, WIDTH)
    assert found.dtype == np.float32
    assert np.array_equal(found, truth(Image.fromarray(image), modality))


@settings(deadline=None, max_examples=100)
@given(height=sides, width=sides, seed=seeds)
def test_grey_images_of_any_size_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int
) -> None:
    grey = noise((height, width), seed)
    expected = truth(Image.fromarray(grey), "tir")
    assert np.array_equal(PREPROCESS(grey, "tir"), expected)
    assert np.array_equal(PREPROCESS(grey[:, :, None], "tir"), expected)
    assert np.array_equal(PREPROCESS(Image.fromarray(grey), "tir"), expected)


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 80), width=st.integers(1, 80), seed=seeds)
def test_other_network_sizes_give_the_numbers_of_torchvision(
    height: int, width: int, seed: int
) -> None:
    config = ModelConfig(image_size=(height, width))
    image = Image.fromarray(noise((40, 30, 3), seed))
    expected = evaluation_transform(config, "rgb")(image).numpy()
    assert np.array_equal(preprocessor(config)(image, "rgb"), expected)


@pytest.mark.parametrize("mode", MODES)
def test_pillow_images_of_every_8_bit_mode_give_the_numbers_of_torchvision(mode: str) -> None:
    image = picture(mode)
    assert image.mode == mode
    before = image.tobytes()
    assert np.array_equal(PREPROCESS(image, "nir"), truth(image, "nir"))
    assert image.tobytes() == before, "the caller's image was changed"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((f"{mode}.png", mode) for mode in ("RGB", "L", "RGBA", "P", "1", "LA")),
        *((f"{mode}.jpg", mode) for mode in ("RGB", "L", "CMYK")),
        ("P.gif", "P"),
        ("RGB.bmp", "RGB"),
        ("CMYK.tiff", "CMYK"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_files_give_the_numbers_of_torchvision(
    tmp_path: Path, name: str, mode: str, kind: type
) -> None:
    path = tmp_path / name
    picture(mode).save(path)
    with Image.open(path) as image:
        expected = truth(image)
    assert np.array_equal(PREPROCESS(kind(path), "rgb"), expected)


@pytest.mark.parametrize("name", ["transparent.png", "transparent.gif"])
def test_a_palette_with_a_transparent_colour_gives_the_numbers_of_torchvision(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    picture("P").save(path, transparency=3)
    with Image.open(path) as image:
        expected = truth(image)
    assert np.array_equal(PREPROCESS(path, "rgb"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_applied_neither_here_nor_by_torchvision(
    tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture("RGB").save(path, exif=exif)
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == orientation
        expected = truth(image)
        unturned = truth(Image.fromarray(np.asarray(image)))
    assert np.array_equal(PREPROCESS(path, "rgb"), expected)
    assert np.array_equal(expected, unturned)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[:, :, ::-1],
        lambda a: a[::3, 1::2],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.asfortranarray(a),
        lambda a: a[5:40, 7:30, 1],
        lambda a: a[5:40, 7:30, 1:2],
        lambda a: np.broadcast_to(a[:1, :1], (9, 7, 3)),
    ],
)
def test_arrays_that_are_not_contiguous_are_read_as_they_look(view: Any) -> None:
    array = view(noise((60, 44, 3)))
    expected = truth(Image.fromarray(np.array(np.squeeze(array), order="C")))
    assert np.array_equal(PREPROCESS(array, "rgb"), expected)


def test_an_array_is_not_changed() -> None:
    array = noise((60, 44, 3))
    array.setflags(write=False)
    PREPROCESS(array, "rgb")
    assert np.array_equal(array, noise((60, 44, 3)))


def test_out_is_written_in_place_and_nothing_around_it() -> None:
    batch = np.full((3, 3, HEIGHT, WIDTH), np.nan, np.float32)
    image = picture("RGB")
    returned = PREPROCESS(image, "nir", batch[1])
    assert np.shares_memory(returned, batch)
    assert np.array_equal(batch[1], truth(image, "nir"))
    assert np.isnan(batch[[0, 2]]).all()


def test_out_may_be_a_strided_view() -> None:
    wide = np.full((3, HEIGHT, WIDTH, 2), np.nan, np.float32)
    image = picture("RGB")
    PREPROCESS(image, "rgb", wide[..., 1])
    assert np.array_equal(wide[..., 1], truth(image))
    assert np.isnan(wide[..., 0]).all()


def test_the_transform_can_be_sent_to_the_workers_of_a_data_loader() -> None:
    image = picture("RGB")
    copy = pickle.loads(pickle.dumps(TRUTH["tir"]))
    assert np.array_equal(copy(image).numpy(), truth(image, "tir"))


def test_every_16_bit_value_becomes_the_nearest_8_bit_level() -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_levels(to_pillow(array, (0, 65535)), array, 0, 65535)


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).filter(lambda r: r[0] < r[1]))
@example((7000, 9000))
@example((0, 1))
@example((65534, 65535))
@example((0, 510))  # every odd value is an exact tie
@example((0, 47843))  # values so near a tie that float32 takes them for one
def test_a_range_of_16_bit_values_is_stretched_and_the_rest_is_clipped(
    range16: tuple[int, int],
) -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert_levels(to_pillow(array, range16), array, *range16)


@pytest.mark.parametrize("range16", [(0, 65535), (20000, 30000)])
def test_a_16_bit_png_and_its_array_are_the_same_image(
    tmp_path: Path, range16: tuple[int, int]
) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (40, 30), np.uint16)
    path = tmp_path / "thermal.png"
    Image.fromarray(array).save(path)
    with Image.open(path) as image:
        assert image.mode == "I;16"
        assert_levels(to_pillow(image, range16), array, *range16)
    assert_levels(to_pillow(path, range16), array, *range16)
    assert_levels(to_pillow(array[:, :, None], range16), array, *range16)


def test_a_big_endian_16_bit_tiff_is_read(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (40, 30), np.uint16)
    path = tmp_path / "thermal.tiff"
    Image.frombytes("I;16B", (30, 40), array.astype(">u2").tobytes()).save(path)
    assert_levels(to_pillow(path, (0, 65535)), array, 0, 65535)


def test_a_16_bit_image_takes_the_range_of_its_modality_then_the_way_of_any_other() -> None:
    array = np.random.default_rng(0).integers(6000, 10000, (90, 50), np.uint16)
    for modality, range16 in (("tir", (7000, 9000)), ("nir", (0, 65535))):
        eight_bits = to_pillow(array, range16)  # its levels are tested above; here, the range
        assert np.array_equal(PREPROCESS(array, modality), truth(eight_bits, modality))


def test_16_bit_colour_arrays_are_converted_channel_by_channel() -> None:
    array = np.random.default_rng(0).integers(0, 65536, (20, 10, 3), np.uint16)
    found = np.asarray(to_pillow(array, (0, 65535)))
    for channel in range(3):
        least, _ = levels(array[:, :, channel], 0, 65535)
        assert np.array_equal(found[:, :, channel], least)


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((0, 0), np.uint8), "(0, 0)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.zeros((5, 0, 1), np.uint16), "(5, 0, 1)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), np.bool_), "bool"),
        (np.zeros((4, 4), np.int16), "int16"),
        (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
        (np.zeros((3, 4, 5), np.uint8), "(3, 4, 5)"),
        (np.zeros((12,), np.uint8), "(12,)"),
        (np.zeros((), np.uint8), "()"),
        (np.zeros((1, 4, 4, 3), np.uint8), "(1, 4, 4, 3)"),
    ],
)
def test_arrays_that_are_no_image_are_refused(array: NDArray[Any], named: str) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(array, "rgb")
    assert named in str(refusal.value)


def test_an_empty_pillow_image_is_refused() -> None:
    with pytest.raises(ImageError, match="0x0"):
        PREPROCESS(Image.new("RGB", (0, 0)), "rgb")


def jpeg() -> bytes:
    stream = io.BytesIO()
    picture("RGB").save(stream, "jpeg")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", jpeg()[: len(jpeg()) // 2], jpeg()[:20]],
    ids=["empty", "text", "truncated", "header-only"],
)
def test_files_that_are_no_image_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(path, "rgb")
    assert str(path) in str(refusal.value)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.avif"
    picture("RGB").save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 4  # the compressed image
    content[at : at + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(path, "rgb")
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(tmp_path / "nowhere.jpg", "rgb")
    assert str(tmp_path / "nowhere.jpg") in str(refusal.value)


def test_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        PREPROCESS(tmp_path, "rgb")
    assert str(tmp_path) in str(refusal.value)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    for path in ("a\0b.jpg", "x" * 5000):
        with pytest.raises(ImageError):
            PREPROCESS(path, "rgb")


def test_a_pillow_image_whose_file_is_truncated_is_refused() -> None:
    lazy = Image.open(io.BytesIO(jpeg()[: len(jpeg()) // 2]))
    with pytest.raises(ImageError):
        PREPROCESS(lazy, "rgb")


def files_to_damage() -> list[tuple[str, bytes]]:
    found = []
    for kind, mode in [("png", "RGB"), ("png", "P"), ("jpeg", "L"), ("tiff", "RGB"), ("bmp", "L")]:
        stream = io.BytesIO()
        picture(mode, (9, 11)).save(stream, kind)
        found.append((kind, stream.getvalue()))
    thermal = io.BytesIO()
    Image.fromarray(noise((11, 9)).astype(np.uint16)).save(thermal, "png")
    return [*found, ("png", thermal.getvalue())]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind, content = data.draw(st.sampled_from(files_to_damage()))
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    # Most of what can go wrong is decided by the headers, at the beginning.
    for at in data.draw(st.lists(st.integers(0, 79), max_size=6)):
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(damaged)
    try:
        found = PREPROCESS(path, "rgb")
    except ImageError:
        return
    assert np.isfinite(found).all()
