"""What becomes of real files, and of every way in which a picture can be stored."""

import io
import re

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipelines.vision.decoding_jpeg import decode
from pipelines.vision.decoding_limits import DEFAULT_LIMITS
from pipelines.vision.pictures import Picture, Undecodable, UnsupportedType, decode_rgb, release_picture
from tests.shared import shared

ORIGINALS = {
    "0729.tiff": ("JPEG", "L", (300, 191)),
    "Album_en_blanco_y_negro.webp": ("PNG", "RGB", (300, 202)),
    "Carrie.jpg": ("JPEG", "RGB", (300, 400)),
    "Cincinnati_Bell_logo.png": ("PNG", "RGBA", (300, 64)),
    "EXIF_rotation_180.jpg": ("JPEG", "RGB", (40, 60)),
    "Ethiopian_Region_Map_with_Capitals_and_Flags.png": ("PNG", "RGB", (300, 300)),
    "Greyscale_with_tRNS.png": ("PNG", "LA", (100, 100)),
    "Hafnia_alvei.tif": ("JPEG", "RGB", (300, 300)),
    "Interieur,_overzicht_tijdens_restauratie_(?)_-_Rolduc_-_20357536_-_RCE.jpg": ("JPEG", "L", (300, 299)),
    "Jokie.gif": ("PNG", "RGB", (300, 290)),
    "Physical_map_tagged_AdobeRGB.jpg": ("JPEG", "RGB", (300, 230)),
    "Rostockstein.jpg": ("JPEG", "RGB", (300, 456)),
    "The_Poppet.jpg": ("JPEG", "RGB", (300, 161)),
    "Tower.jpg": ("JPEG", "RGB", (300, 534)),
    "Tranylcypromine3DanJ.gif": ("PNG", "RGB", (300, 145)),
}


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


def saved(image: Image.Image, form: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures of the same size, in steps of 255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    metrics = pytest.importorskip("skimage.metrics")
    return float(metrics.structural_similarity(one, other, channel_axis=2 if one.ndim == 3 else None))


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_real_original_becomes_a_picture_of_the_right_format_mode_and_size(name: str) -> None:
    picture = release_picture(shared(f"commons/originals/{name}").read_bytes())
    image = opened(picture)
    assert (picture.format, image.mode, image.size) == ORIGINALS[name]
    assert image.format == picture.format
    assert (picture.width, picture.height) == image.size


def test_the_list_above_is_all_originals_but_the_svgs() -> None:
    there = {path.name for path in shared("commons/originals").iterdir()}
    assert {name for name in there if not name.endswith(".svg")} == set(ORIGINALS)


@pytest.mark.parametrize("name", ["IPv6_header-en", "Speech_bubbles", "Television", "Wikimedia-logo"])
def test_an_svg_is_never_drawn_here(name: str) -> None:
    with pytest.raises(UnsupportedType, match="SVG source"):
        release_picture(shared(f"commons/originals/{name}.svg").read_bytes())


@pytest.mark.parametrize(
    ("original", "thumbnail"),
    [
        ("Interieur,_overzicht_tijdens_restauratie_(?)_-_Rolduc_-_20357536_-_RCE.jpg", "300px-Interieur.jpg"),
        ("Album_en_blanco_y_negro.webp", "300px-Album_en_blanco_y_negro.webp.png"),
        ("Jokie.gif", "300px-Jokie.gif"),
        ("Hafnia_alvei.tif", "lossy-page1-300px-Hafnia_alvei.tif.jpg"),
        ("Physical_map_tagged_AdobeRGB.jpg", "300px-Physical_map_tagged_AdobeRGB.jpg"),
    ],
)
def test_a_picture_looks_as_wikimedias_own_thumbnail_does(original: str, thumbnail: str) -> None:
    ours = decode_rgb(release_picture(shared(f"commons/originals/{original}").read_bytes()).data)
    theirs = Image.open(shared(f"commons/thumbnails/{thumbnail}"))
    if profile := theirs.info.get("icc_profile"):
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        theirs = ImageCms.profileToProfile(theirs, source, srgb, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)
    theirs = theirs.convert("RGB")
    assert ours.shape == np.asarray(theirs).shape
    coarse = (theirs.width // 8, theirs.height // 8)  # Wikimedia sharpens its thumbnails, which shows at edges only
    one, other = (np.asarray(image.resize(coarse, Image.Resampling.BOX)) for image in (Image.fromarray(ours), theirs))
    assert apart(one, other) < 2


@pytest.mark.parametrize(
    "name",
    [name for name, (form, _, size) in ORIGINALS.items() if form == "JPEG" and name.endswith("jpg") and size[0] == 300],
)
def test_scaling_is_as_good_as_pillows_lanczos_before_encoding(name: str) -> None:
    data = shared(f"commons/originals/{name}").read_bytes()
    scaled = decode(data, 300, DEFAULT_LIMITS)
    assert scaled is not None
    image = Image.open(io.BytesIO(data))
    lanczos = image.resize(scaled.pixels.shape[1::-1], Image.Resampling.LANCZOS)
    if name == "Physical_map_tagged_AdobeRGB.jpg":
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        lanczos = ImageCms.profileToProfile(lanczos, source, ImageCms.createProfile("sRGB"), renderingIntent=intent)
    assert likeness(scaled.pixels, np.asarray(lanczos)) >= 0.995


@pytest.mark.parametrize("width", [330, 360, 449, 600, 1201])
def test_thumbnails_of_every_width_scale_as_well(width: int) -> None:
    original = Image.open(shared("commons/originals/Carrie.jpg"))
    thumbnail = saved(original.resize((width, width * 4 // 3), Image.Resampling.LANCZOS), "JPEG", quality=87)
    scaled = decode(thumbnail, 300, DEFAULT_LIMITS)
    assert scaled is not None
    lanczos = Image.open(io.BytesIO(thumbnail)).resize((300, scaled.pixels.shape[0]), Image.Resampling.LANCZOS)
    assert likeness(scaled.pixels, np.asarray(lanczos)) >= 0.995


def quarters(mode: str = "RGB") -> Image.Image:
    """A picture of 120 × 80 with red, green, blue and grey quarters, so that every turn shows."""
    image = Image.new("RGB", (120, 80), (90, 90, 90))
    image.paste((220, 0, 0), (0, 0, 60, 40))
    image.paste((0, 200, 0), (60, 0, 120, 40))
    image.paste((0, 0, 210), (0, 40, 60, 80))
    return image.convert(mode)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("JPEG", "L"),
        ("PNG", "RGB"),
        ("WEBP", "RGB"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
    ],
)
def test_every_exif_orientation_is_applied_in_every_format(form: str, orientation: int, mode: str) -> None:
    turn_back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Exif orientation → Image.Transpose that undoes it
    stored = quarters(mode)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(turn_back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = release_picture(saved(stored, form, exif=exif))
    assert (picture.width, picture.height) == (picture.source_width, picture.source_height) == (120, 80)
    assert apart(decode_rgb(picture.data), np.asarray(quarters(mode).convert("RGB"))) < 6


def test_a_turned_picture_is_as_wide_as_it_is_shown() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG"):
        picture = release_picture(saved(Image.new("RGB", (900, 600)), form, exif=exif))
        assert (picture.width, picture.height) == (300, 450)
        assert (picture.source_width, picture.source_height) == (600, 900)


def test_adobe_rgb_is_converted_to_srgb() -> None:
    data = shared("commons/originals/Physical_map_tagged_AdobeRGB.jpg").read_bytes()
    image = Image.open(io.BytesIO(data))
    small = image.resize((300, 230), Image.Resampling.LANCZOS)
    wanted = ImageCms.profileToProfile(
        small, ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])), ImageCms.createProfile("sRGB")
    )
    ours = decode_rgb(release_picture(data).data)
    assert apart(ours, np.asarray(wanted)) < 3 < apart(np.asarray(small), np.asarray(wanted))


@pytest.mark.parametrize("profile", [b"", b"no profile at all", b"\0" * 500])
def test_a_profile_that_cannot_be_read_is_ignored(profile: bytes) -> None:
    picture = release_picture(saved(quarters(), "JPEG", icc_profile=profile, quality=95))
    assert apart(decode_rgb(picture.data), np.asarray(quarters())) < 6


def markers(jpeg: bytes) -> list[int]:
    at, found = 2, []
    while jpeg[at + 1] != 0xDA:
        found.append(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return found


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_no_metadata_is_left(form: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    settings = {} if form == "GIF" else {"exif": exif, "icc_profile": profile}
    if form in ("JPEG", "GIF"):
        settings["comment"] = "a secret place"
    data = saved(quarters(), form, **settings)
    assert b"a secret place" in data or form == "GIF"
    released = release_picture(data)
    if released.format == "JPEG":
        assert set(markers(released.data)) <= {0xE0, 0xDB, 0xC0, 0xC4}  # JFIF, tables, a baseline frame
    else:
        assert re.findall(rb"[A-Za-z]{4}", released.data)[0] == b"IHDR"
        assert set(opened(released).info) == set()
        assert not any(chunk in released.data for chunk in (b"iCCP", b"eXIf", b"tEXt", b"iTXt", b"zTXt", b"pHYs"))
    assert b"secret" not in released.data


def with_alpha() -> Image.Image:
    image = quarters("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((120, 80)))
    return image


@pytest.mark.parametrize(
    ("image", "form", "settings", "mode"),
    [
        (with_alpha(), "PNG", {}, "RGBA"),
        (with_alpha(), "WEBP", {"lossless": True, "exact": True}, "RGBA"),
        (with_alpha().convert("LA"), "PNG", {}, "LA"),
        (with_alpha().quantize(64), "PNG", {}, "RGBA"),
        (quarters("P"), "PNG", {}, "RGB"),
        (quarters("P"), "PNG", {"transparency": 0}, "RGB"),  # a clear colour that no pixel has
        (quarters("P"), "GIF", {}, "RGB"),
        (quarters("L"), "PNG", {}, "L"),
        (quarters("L"), "PNG", {"transparency": 90}, "LA"),
        (quarters("RGB"), "PNG", {"transparency": (220, 0, 0)}, "RGBA"),
        (quarters("1"), "PNG", {}, "L"),
        (quarters("1"), "TIFF", {"compression": "group4"}, "L"),
        (quarters("L"), "JPEG", {"quality": 95}, "L"),
        (quarters("CMYK"), "JPEG", {"quality": 95}, "RGB"),
        (quarters("CMYK"), "TIFF", {}, "RGB"),
        (quarters("YCbCr"), "JPEG", {"quality": 95}, "RGB"),
    ],
)
def test_every_mode_keeps_its_colours(image: Image.Image, form: str, settings: dict, mode: str) -> None:
    data = saved(image, form, **settings)
    released = release_picture(data)
    assert opened(released).mode == mode
    stored = Image.open(io.BytesIO(data)).convert("RGBA")
    page = Image.new("RGBA", stored.size, "white")
    page.alpha_composite(stored)
    assert apart(decode_rgb(released.data), np.asarray(page.convert("RGB"))) < 6


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_upper_eight(form: str) -> None:
    values = np.linspace(0, 65535, 100 * 40).reshape(40, 100).astype(np.uint16)
    released = release_picture(saved(Image.fromarray(values), form))
    assert apart(np.asarray(opened(released)), (values >> 8).astype(np.uint8)) < 1.5


def test_a_float_picture_is_stretched_to_what_can_be_seen() -> None:
    values = np.linspace(-3.5, 12, 100 * 40).reshape(40, 100).astype(np.float32)
    released = np.asarray(opened(release_picture(saved(Image.fromarray(values), "TIFF"))))
    assert (released.min(), released.max()) == (0, 255)


def test_what_is_clear_does_not_bleed_into_what_is_not() -> None:
    image = Image.new("RGBA", (900, 600), (255, 0, 0, 0))  # a clear red …
    image.paste((0, 0, 255, 255), (0, 0, 450, 600))  # … beside an opaque blue
    pixels = np.asarray(opened(release_picture(saved(image, "PNG"))))
    seen = pixels[pixels[:, :, 3] > 20]
    assert (seen[:, 0] == 0).all()
    assert (seen[:, 2] >= 253).all()


def test_transparency_of_a_tiff_becomes_white() -> None:
    image = Image.new("RGBA", (50, 40), (0, 0, 0, 0))
    assert (decode_rgb(release_picture(saved(image, "TIFF")).data) >= 254).all()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_many_frames_the_first_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    settings = {"lossless": True} if form == "WEBP" else {}
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], **settings)
    pixels = decode_rgb(release_picture(data).data)
    assert apart(pixels, np.full((30, 40, 3), (255, 0, 0), np.uint8)) < 2


def test_the_same_bytes_give_the_same_bytes() -> None:
    for name in ("Tower.jpg", "Cincinnati_Bell_logo.png", "Hafnia_alvei.tif", "Jokie.gif"):
        data = shared(f"commons/originals/{name}").read_bytes()
        assert release_picture(data) == release_picture(data)


def test_width_and_quality_are_settings() -> None:
    data = shared("commons/originals/Tower.jpg").read_bytes()
    assert release_picture(data, width=200).width == 200
    assert len(release_picture(data, jpeg_quality=60).data) < len(release_picture(data, jpeg_quality=90).data)


def test_the_released_picture_of_2021_is_read_as_pillow_reads_it() -> None:
    data = shared("release-2021/golden_Dodge_Challenger_300px.jpg").read_bytes()
    assert apart(decode_rgb(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))) < 0.5


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_networks_see_three_channels_with_white_where_a_picture_is_clear(mode: str) -> None:
    image = with_alpha().convert(mode)
    pixels = decode_rgb(saved(image, "PNG"))
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.asarray(page.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_a_released_file_that_was_altered_is_an_error(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_rgb(data)
