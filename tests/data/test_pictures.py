"""What pictures' files may be: broken EXIF data, transparency at any depth, formats that plugins read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from neocog.data import image_folder, load_image, pictures
from neocog.data.pictures import read_header


def jpeg_with_exif(exif):
    """Return a JPEG file, red and 16 x 8 as stored, with these bytes of EXIF data."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(stream, "JPEG")
    content, block = stream.getvalue(), b"Exif\0\0" + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


ORIENTATION_6 = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"


@pytest.mark.parametrize(
    ("entries", "upright"),
    [
        ([ORIENTATION_6], True),
        ([ORIENTATION_6, b"\x01\x1a\0\x03\0\0\0\x04abc\0"], True),  # a resolution that is no number
        ([ORIENTATION_6, b"\x01\x1a\0\x05\0\0\0\x01\xff\xff\xff\xff"], True),  # a place outside the file
        ([ORIENTATION_6, b"\x82\x9a\0\x63\0\0\0\x01\0\0\0\0"], True),  # a type that there is not
        ([b"\x01\x12\0\x02\0\0\0\x04abc\0"], False),  # an orientation that is text
        ([b"\x01\x12\0\x03\0\0\0\x01\0\x63\0\0"], False),  # orientation 99
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on the EXIF data
def test_exif_data_may_be_broken_but_for_the_orientation(tmp_path, entries, upright):
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(2):
            (tmp_path / name / f"{n}.jpg").write_bytes(jpeg_with_exif(exif))
    split = image_folder(tmp_path)
    assert split.image_shape == ((3, 16, 8) if upright else (3, 8, 16))
    np.testing.assert_allclose(np.asarray(split.train[0])[:, 0], 1, atol=0.01)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_data_that_is_cut_short(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(b"MM\0*\0\0\0\x08\0\x09"))
    assert load_image(tmp_path / "a.jpg", (3, 8, 16)).shape == (3, 8, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_every_orientation(tmp_path, orientation, suffix):
    """The stored corners, from the top left clockwise, by the definition of the tag."""
    stored = np.kron(np.array([[10, 90], [170, 250]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    # What is shown at the top left, the top right, the bottom left and the bottom right.
    shown = {
        1: [10, 90, 170, 250], 2: [90, 10, 250, 170], 3: [250, 170, 90, 10], 4: [170, 250, 10, 90],
        5: [10, 170, 90, 250], 6: [170, 10, 250, 90], 7: [250, 90, 170, 10], 8: [90, 250, 10, 170],
    }[orientation]  # fmt: skip
    image = load_image(tmp_path / f"a.{suffix}", (1, 32, 32))[0] * 255
    corners = image[4, 4], image[4, -4], image[-4, 4], image[-4, -4]
    np.testing.assert_allclose(corners, shown, atol=3)
    Image.new("L", (30, 20)).save(tmp_path / f"b.{suffix}", exif=exif)
    assert read_header(tmp_path / f"b.{suffix}")[:2] == ((30, 20) if orientation > 4 else (20, 30))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth, colour, row, transparent=None, palette=None):
    """Return a PNG file of two pixels."""
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0))
    content += b"" if palette is None else chunk(b"PLTE", palette)
    content += b"" if transparent is None else chunk(b"tRNS", transparent)
    return content + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(1, 0, b"\x40", b"\0\1"), [0, 255]),
        (png(1, 0, b"\x40", b"\0\0"), [255, 255]),
        (png(2, 0, b"\x60", b"\0\1"), [255, 170]),
        (png(4, 0, b"\x3c", b"\0\3"), [255, 204]),
        (png(8, 0, b"\x03\x0c", b"\0\3"), [255, 12]),
        (png(16, 0, b"\x33\x33\x66\x66", b"\x33\x33"), [255, 102]),
        (png(16, 0, b"\x33\x33\x66\x66", b"\x33\x34"), [51, 102]),
        (png(8, 2, b"\x03\x03\x03\x0c\x0c\x0c", b"\0\3\0\3\0\3"), [255, 12]),
        (png(16, 2, b"\x03\x01" * 3 + b"\x0c\x01" * 3, b"\x03\x01" * 3), [255, 12]),
        (png(1, 3, b"\x40", b"\0", b"\x03\x03\x03\x0c\x0c\x0c"), [255, 12]),
        (png(8, 3, b"\x00\x01", b"\0\x80", b"\x03\x03\x03\x0c\x0c\x0c"), [255, 133]),
        (png(8, 4, b"\x03\x00\x0c\xff"), [255, 12]),
        (png(16, 4, b"\x03\x00\x00\x00\x0c\x00\xff\xff"), [255, 12]),
        (png(8, 6, b"\x03\x03\x03\x00\x0c\x0c\x0c\xff"), [255, 12]),
        (png(16, 6, b"\x03\x00" * 3 + b"\x00\x00" + b"\x0c\x00" * 3 + b"\xff\xff"), [255, 12]),
    ],
    ids=[
        "1 bit", "1 bit black", "2 bits", "4 bits", "8 bits", "16 bits", "16 bits, none", "RGB 8", "RGB 16",
        "palette 1", "palette 8", "LA 8", "LA 16", "RGBA 8", "RGBA 16",
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_shows_white_at_any_depth(tmp_path, content, expected, channels):
    (tmp_path / "a.png").write_bytes(content)
    image = load_image(tmp_path / "a.png", (channels, 1, 2))
    np.testing.assert_allclose(image * 255, np.broadcast_to(expected, (channels, 1, 2)), atol=0.6)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG"])
def test_other_suffixes_of_jpeg(tmp_path, suffix):
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(2):
            Image.new("L", (9, 9)).save(tmp_path / name / f"{n}.{suffix}", "JPEG")
    assert len(image_folder(tmp_path).train[1]) == 2


def test_avif(tmp_path):
    if not ("avif" in features.modules and features.check("avif")):
        (tmp_path / "a.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(20))
        with pytest.raises(ValueError, match=r"a\.avif is an image in AVIF format, which needs Pillow 11\.3"):
            load_image(tmp_path / "a.avif", (3, 8, 8))
        return
    Image.new("RGB", (32, 16), (200, 100, 50)).save(tmp_path / "a.avif")
    assert read_header(tmp_path / "a.avif")[:2] == (16, 32)
    image = load_image(tmp_path / "a.avif", (3, 2, 2)) * 255
    np.testing.assert_allclose(image[:, 0, 0], [200, 100, 50], atol=4)


def test_heic_with_and_without_its_plugin(tmp_path):
    try:
        import pillow_heif
    except ImportError:
        (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
        with pytest.raises(
            ValueError, match=r"a\.heic is an image in HEIF format, which needs .*pillow-heif"
        ):
            load_image(tmp_path / "a.heic", (3, 8, 8))
        return
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 32), (200, 100, 50)))
    heif.save(tmp_path / "a.heic")
    image = load_image(tmp_path / "a.heic", (3, 2, 2)) * 255
    np.testing.assert_allclose(image[:, 0, 0], [200, 100, 50], atol=6)


def test_every_suffix_has_a_format_that_is_read_or_needs_something():
    missing = set(pictures.FORMATS) - set(pictures._formats())
    assert missing <= set(pictures._NEEDED)


def test_deep_pixels_become_eight_bits_only_where_that_loses_nothing(tmp_path):
    Image.fromarray(np.array([[257, 258]], np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[1, 2]], np.uint8)).save(tmp_path / "b.png")
    shape = pictures.as_preprocessing((1, 1, 2))
    assert pictures.decode(tmp_path / "a.png", shape).dtype == np.float32
    assert pictures.decode(tmp_path / "b.png", shape).dtype == np.uint8
