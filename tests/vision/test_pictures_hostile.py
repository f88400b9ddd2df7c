"""What a stranger's bytes may not do: pass for a picture, be half a picture, or cost more than the caps."""

import io
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.vision.decoding_limits import DEFAULT_LIMITS
from pipelines.vision.pictures import Limits, PictureError, Undecodable, UnsupportedType, decode_rgb, release_picture
from tests.running import ROOT
from tests.shared import shared

OTHER_TYPES = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "DjVu": b"AT&TFORM\0\0\0\x20DJVU",
    "Ogg": b"OggS\0\x02\0\0\0\0",
    "WebM": b"\x1aE\xdf\xa3\x93B\x82\x88matroska",
    "MP4": b"\0\0\0\x20ftypisom\0\0\x02\0",
    "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "WAVE": b"RIFF\x24\0\0\0WAVEfmt ",
    "FLAC": b"fLaC\0\0\0\x22",
    "MP3": b"ID3\x04\0\0\0\0\0\0",
    "MIDI": b"MThd\0\0\0\x06",
    "XCF": b"gimp xcf v011\0",
    "BMP": b"BM\x36\0\0\0\0\0\0\0",
    "JPEG XL": b"\xff\x0a\xfa\x1f",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "HTML": b"<!DOCTYPE html>\n<html lang=en><title>Wikimedia Error</title>",
    "HTML after blanks": b"\n\n  <html><body>503</body></html>",
    "JSON": b'{"error": {"code": "maxlag"}}',
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "SVG with a declaration": b'\xef\xbb\xbf<?xml version="1.0"?><!-- a drawing --><svg width="1" height="1"/>',
    "SVG in UTF-16": '<?xml version="1.0" encoding="utf-16"?><svg width="1" height="1"/>'.encode("utf-16"),
    "XML": b'<?xml version="1.0"?><feed/>',
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_the_type_is_judged_by_the_content_and_named(kind: str) -> None:
    with pytest.raises(UnsupportedType, match=kind.split()[0]):
        release_picture(OTHER_TYPES[kind] + b"\0" * 1000)


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xd8", b"test\n", b"GIF8", b"RIFF\0\0\0\0WEB", bytes(range(256))])
def test_bytes_of_no_known_type_are_damaged(data: bytes) -> None:
    with pytest.raises(Undecodable):
        release_picture(data)


@pytest.mark.parametrize("name", ["corrupted.png", "empty.png", "truncated.jpg"])
def test_real_broken_files_are_undecodable(name: str) -> None:
    with pytest.raises(Undecodable):
        release_picture(shared(f"broken/{name}").read_bytes())


@pytest.mark.parametrize("form", ["gif", "jpeg", "png", "webp"])
def test_the_same_face_in_four_formats_decodes(form: str) -> None:
    assert release_picture(shared(f"broken/einstein.{form}").read_bytes()).width == 256


CUT = (
    "broken/einstein.jpeg",
    "broken/einstein.png",
    "broken/einstein.webp",
    "commons/originals/EXIF_rotation_180.jpg",
    "commons/originals/Greyscale_with_tRNS.png",
    "commons/originals/Physical_map_tagged_AdobeRGB.jpg",
    "commons/originals/The_Poppet.jpg",
)


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_is_cut_off_anywhere_is_undecodable_never_half_a_picture(name: str, share: float) -> None:
    data = shared(name).read_bytes()
    with pytest.raises(Undecodable):
        release_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", ["0729.tiff", "Hafnia_alvei.tif"])
@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.5, 0.8, 0.95])
def test_a_tiff_is_undecodable_when_strips_are_missing(name: str, share: float) -> None:
    data = shared(f"commons/originals/{name}").read_bytes()
    with pytest.raises(Undecodable):
        release_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_that_was_closed_with_an_end_marker_is_still_seen(share: float) -> None:
    data = shared("broken/einstein.jpeg").read_bytes()
    with pytest.raises(Undecodable, match="cut short"):
        release_picture(data[: int(len(data) * share)] + b"\xff\xd9")


def test_a_gif_needs_its_first_frame_and_no_more() -> None:
    data = shared("commons/originals/Jokie.gif").read_bytes()
    assert release_picture(data[: len(data) * 9 // 10]).data == release_picture(data).data
    with pytest.raises(Undecodable):
        release_picture(data[:2000])


def test_pixels_that_do_not_match_their_checksum_are_damaged() -> None:
    data = bytearray(shared("broken/einstein.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(Undecodable, match="checksum"):
        release_picture(bytes(data))


def test_stray_bytes_that_every_viewer_skips_are_no_damage() -> None:
    data = shared("broken/einstein.jpeg").read_bytes()
    assert release_picture(data + b"trailing words").data == release_picture(data).data
    png = shared("broken/einstein.png").read_bytes()
    assert release_picture(png + b"trailing words").data == release_picture(png).data


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["einstein.jpeg", "einstein.png", "einstein.gif", "einstein.webp", "0729.tiff"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_of_any_kind_ends_in_a_picture_or_in_a_reason(name: str, changes: list[tuple[float, int]]) -> None:
    folder = "commons/originals" if name.endswith("tiff") else "broken"
    data = bytearray(shared(f"{folder}/{name}").read_bytes())
    for share, value in changes:
        data[int(share**3 * len(data))] = value  # most of them near the header
    said = outcome(bytes(data))
    assert len(said) > 10
    assert " at 0x" not in said, "an address in memory would make two runs differ"


def outcome(data: bytes) -> str:
    try:
        picture = release_picture(data)
    except PictureError as error:
        return str(error)
    height, width, _ = decode_rgb(picture.data).shape
    return f"a picture of {width} × {height}"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_zeros(width: int, height: int) -> bytes:
    row = b"\0" * (width * 3 + 1)
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def refusal_and_growth(data: bytes) -> tuple[str, int]:
    """Decode in a process of its own; return why that was refused, and by how many bytes its memory grew meanwhile."""
    program = (
        "import sys\n"
        "from pipelines.vision.pictures import Undecodable, release_picture\n"
        "from tests.running import peak_memory\n"
        "data = sys.stdin.buffer.read()\n"
        "before = peak_memory()\n"
        "try:\n    release_picture(data)\n"
        "except Undecodable as error:\n    print(error)\n"
        "print(peak_memory() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], input=data, cwd=ROOT, capture_output=True, check=True)
    words, grown = run.stdout.decode().splitlines()
    return words, int(grown)


def test_a_png_of_200_megapixels_is_refused_before_memory_is_given_to_it() -> None:
    bomb = png_of_zeros(20_000, 10_000)
    assert len(bomb) < 5_000_000
    words, grown = refusal_and_growth(bomb)
    assert "20000 × 10000 pixels; the caps are 100,000,000" in words
    assert grown < 20_000_000


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(shared("broken/einstein.jpeg").read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little") + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_claiming(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        where = at + 2 + 12 * entry
        if (tag := struct.unpack_from("<H", data, where)[0]) in (256, 257):
            struct.pack_into("<HHII", data, where, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        png_of_zeros(70_000, 1),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0;",
        webp_claiming(16_384, 16_384),
        tiff_claiming(200_000, 200_000),
    ],
    ids=["a PNG too wide", "GIF", "WebP", "TIFF"],
)
def test_sizes_are_capped_in_every_format(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"the caps? "):
        release_picture(data)


def test_a_jpeg_that_claims_4000_megapixels_is_refused() -> None:
    with pytest.raises(Undecodable, match="the caps are"):
        release_picture(jpeg_claiming(65_535, 65_535))


def test_a_header_that_claims_no_size_is_damaged() -> None:
    with pytest.raises(Undecodable, match="0 × 0"):
        release_picture(jpeg_claiming(0, 0))


def test_a_file_over_the_cap_of_bytes_is_refused() -> None:
    data = shared("broken/einstein.jpeg").read_bytes()
    with pytest.raises(Undecodable, match="more than the cap of 1,000"):
        release_picture(data, limits=Limits(bytes=1000))
    assert release_picture(data, limits=replace(DEFAULT_LIMITS, bytes=len(data), pixels=256 * 256)).width == 256


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    scan = data[second:-2]
    with pytest.raises(Undecodable, match="scans, more than the cap of 200"):
        release_picture(data[:-2] + scan * 1000 + b"\xff\xd9")
    with pytest.raises(Undecodable, match="scans, more than the cap of 7 for 4,096 pixels"):
        release_picture(data, limits=Limits(scanned_pixels=7 * 64 * 64 + 1))
    assert release_picture(data).width == 64


def test_a_strip_of_extreme_shape_is_refused_by_the_height_it_would_get() -> None:
    with pytest.raises(Undecodable, match="px high"):
        release_picture(png_of_zeros(2, 60_000))
    assert release_picture(png_of_zeros(600, 6_000)).height == 3_000


def test_a_text_chunk_that_unpacks_to_gigabytes_is_refused() -> None:
    text = b"Comment\0\0" + zlib.compress(b"\0" * 150_000_000, 1)
    whole = png_of_zeros(8, 8)
    bomb = whole[:33] + png_chunk(b"zTXt", text) + whole[33:]
    words, grown = refusal_and_growth(bomb)
    assert "Decompressed" in words
    assert grown < 80_000_000


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700), wanted=st.sampled_from([64, 200, 300, 330]),
       form=st.sampled_from(["JPEG", "PNG", "GIF"]))  # fmt: skip
def test_no_picture_is_enlarged_and_its_shape_is_kept(width: int, height: int, wanted: int, form: str) -> None:
    file = io.BytesIO()
    Image.new("L", (width, height), 77).save(file, form)
    picture = release_picture(file.getvalue(), width=wanted)
    assert picture.width == min(width, wanted)
    assert abs(picture.height - height * picture.width / width) <= 0.5 or picture.height == 1
    assert (picture.source_width, picture.source_height) == (width, height)
    pixels = decode_rgb(picture.data)
    assert pixels.shape == (picture.height, picture.width, 3)
    assert abs(int(pixels.max()) - 77) <= 1
