"""Image files of every kind: read as they are meant, converted and named, or refused with a reason."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from biasmask.data.decode import decode_image, try_decode
from biasmask.errors import DataError

RED = (200, 30, 10)


@pytest.fixture
def picture():
    """Left half red, right half blue, a green line on top."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:], pixels[:12] = RED, (0, 0, 250), (0, 220, 0)
    return Image.fromarray(pixels)


def test_short_side_scaled_then_centre_cut(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    got = decode_image(tmp_path / "a.png", 30)
    plain = np.asarray(picture.resize((40, 30), Image.Resampling.BILINEAR).crop((5, 0, 35, 30)))
    assert got.dtype == np.uint8 and got.shape == (30, 30, 3)
    assert np.abs(got.astype(int) - plain).max() <= 1


def test_scaling_is_antialiased(tmp_path):
    checks = np.indices((256, 256)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "a.png")
    assert np.abs(decode_image(tmp_path / "a.png", 16).astype(int) - 127).max() < 12


def test_jpeg_decoded_small_equals_jpeg_decoded_whole(tmp_path):
    smooth = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(smooth).resize((600, 450), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as whole:
        plain = whole.resize((64, 64), Image.Resampling.BILINEAR, box=(75, 0, 525, 450))
    assert np.abs(decode_image(tmp_path / "a.jpg", 64).astype(int) - np.asarray(plain)).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_exif_orientation_is_undone(tmp_path, picture, orientation, suffix):
    undo = {
        1: [], 2: ["FLIP_LEFT_RIGHT"], 3: ["ROTATE_180"], 4: ["FLIP_TOP_BOTTOM"], 5: ["TRANSPOSE"],
        6: ["ROTATE_90"], 7: ["TRANSVERSE"], 8: ["ROTATE_270"],
    }  # fmt: skip
    stored = picture
    for step in undo[orientation]:
        stored = stored.transpose(Image.Transpose[step])
    exif = Image.Exif()
    exif[274] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    got = decode_image(tmp_path / f"a.{suffix}", 30).astype(int)
    assert np.abs(got[20, 5] - RED).max() < 30 and got[20, 25, 2] > 200 and got[1, 15, 1] > 180


def test_damaged_exif_is_taken_as_upright(tmp_path, picture):
    picture.save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode_image(tmp_path / "a.jpg", 30).shape == (30, 30, 3)


@pytest.mark.parametrize(
    ("mode", "suffix", "converted"),
    [
        ("L", "png", ()), ("1", "png", ()), ("P", "png", ()), ("P", "gif", ()), ("RGB", "webp", ()), ("L", "jpg", ()),
        ("CMYK", "jpg", ("CMYK",)), ("CMYK", "tif", ("CMYK",)), ("RGBA", "png", ()), ("LA", "png", ()),
    ],
)  # fmt: skip
def test_modes(tmp_path, picture, mode, suffix, converted):
    picture.convert(mode).save(tmp_path / f"a.{suffix}")
    got = try_decode(tmp_path / f"a.{suffix}", 30)
    assert got.reason is None and got.converted == converted and got.pixels.shape == (30, 30, 3)
    expected = np.asarray(picture.convert(mode).convert("RGB"))[30, 60].astype(int)
    if mode != "1":
        assert np.abs(got.pixels[15, 25] - expected).max() < 40


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_laid_on_white(tmp_path, mode):
    layer = np.zeros((20, 20, 4), np.uint8)
    layer[:10, :, 3] = 255
    image = Image.fromarray(layer)
    if mode == "P":
        image = Image.fromarray((layer[..., 3] > 0).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.save(tmp_path / "a.png", transparency=0)
    else:
        image.convert(mode).save(tmp_path / "a.png")
    got = try_decode(tmp_path / "a.png", 20)
    assert got.converted == ("transparent",)
    assert got.pixels[2].max() == 0 and got.pixels[18].min() == 255


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_by_257(tmp_path, suffix):
    values = np.full((20, 20), 128 * 257, np.uint16)
    values[:10] = 65535
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    got = try_decode(tmp_path / f"a.{suffix}", 20)
    assert got.converted == ("16-bit",)
    assert (got.pixels[2] == 255).all() and (got.pixels[18] == 128).all()


def test_16_bit_colour_is_converted_and_named(tmp_path):
    lines = b"".join(b"\0" + struct.pack(">3H", 65535, 257 * 100, 0) * 4 for _ in range(4))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", 4, 4, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    got = try_decode(tmp_path / "a.png", 4)
    assert got.converted == ("16-bit",) and got.pixels[0, 0].tolist() == [255, 100, 0]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("white", "black", "red")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    got = try_decode(tmp_path / f"a.{suffix}", 10)
    assert got.converted == ("animated",) and got.pixels.min() > 250


def test_float_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "a.tif")
    assert "floating-point" in try_decode(tmp_path / "a.tif", 8).reason


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif"])
def test_truncated_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert try_decode(file, 32).pixels is None and try_decode(file, 32).reason


def test_text_empty_missing_folder(tmp_path):
    (tmp_path / "text.jpg").write_text("<html>404 not found</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    assert try_decode(tmp_path / "text.jpg", 8).reason == "not an image"
    assert try_decode(tmp_path / "empty.jpg", 8).reason == "empty file"
    assert try_decode(tmp_path / "none.jpg", 8).reason == "missing file"
    assert try_decode(tmp_path / "folder.jpg", 8).pixels is None


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    header = struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = zlib.compress(b"\0" * 100)
    body = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + body)
    assert try_decode(tmp_path / "a.png", 8).reason.startswith("decompression bomb")


def test_random_bytes_after_a_real_header_never_crash(tmp_path, picture):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "tif", "webp"):
        picture.save(tmp_path / f"a.{suffix}")
        good = (tmp_path / f"a.{suffix}").read_bytes()
        for number in range(30):
            bad = bytearray(good)
            for place in rng.integers(4, len(bad), 12):
                bad[place] = rng.integers(256)
            file = tmp_path / f"{number}.{suffix}"
            file.write_bytes(bytes(bad))
            got = try_decode(file, 16)
            assert (got.pixels is None) == (got.reason is not None)


def test_error_is_one_line_and_names_the_file(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"text\.jpg: not an image; .*") as error:
        decode_image(tmp_path / "text.jpg", 8)
    assert "\n" not in str(error.value)
