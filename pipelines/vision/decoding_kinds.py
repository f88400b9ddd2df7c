"""What a fetched file is, judged by its first bytes, and the two ways in which it can be of no use to us.

Neither the name nor the Content-Type is asked: Commons holds PNGs named .jpg, and a faulty server or proxy sends HTML
with status 200. Commons accepts only a closed list of file types, so bytes that begin like none of them are damage,
not a type of their own.
"""

from enum import StrEnum

from pipelines.errors import WitReleaseError


class PictureError(WitReleaseError):
    """A fetched file gives no picture. The message says why, in words fit for the ledger."""


class UnsupportedType(PictureError):
    """The content is whole as far as we know, but it is no picture of a type that is released."""


class Undecodable(PictureError):
    """The content is empty, damaged, cut short, or larger than the caps allow."""


class Kind(StrEnum):
    """The picture types that are decoded. SVG is not among them: it is taken as the PNG that Commons draws of it."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    TIFF = "TIFF"


_PICTURES = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"II*\0", Kind.TIFF),
    (b"MM\0*", Kind.TIFF),
    (b"II+\0", Kind.TIFF),  # BigTIFF
    (b"MM\0+", Kind.TIFF),
)

_OTHERS = (
    (b"%PDF-", "PDF"),
    (b"AT&TFORM", "DjVu"),
    (b"OggS", "Ogg audio or video"),
    (b"\x1aE\xdf\xa3", "WebM or Matroska video"),
    (b"fLaC", "FLAC audio"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"\xff\xf3", "MP3 audio"),
    (b"\xff\xf2", "MP3 audio"),
    (b"MThd", "MIDI"),
    (b"\0\0\x01\xba", "MPEG video"),
    (b"\0\0\x01\xb3", "MPEG video"),
    (b"gimp xcf", "GIMP's XCF"),
    (b"8BPS", "Photoshop's PSD"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"BM", "BMP"),
    (b"\0\0\x01\0", "ICO"),
    (b"glTF", "a 3D model"),
    (b"solid ", "a 3D model (STL)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"{", "JSON or plain text"),
)

_RIFF = {b"WEBP": Kind.WEBP, b"WAVE": "WAVE audio", b"AVI ": "AVI video"}
_FTYP = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}


def kind_of(data: bytes) -> Kind:
    """Return the picture type of ``data``.

    Raises:
        UnsupportedType: it is of another type that is known: a document, sound, video, a web page, an SVG's source.
        Undecodable: it is empty, or begins like no type that Commons accepts.

    """
    if not data:
        raise Undecodable("the file is empty")
    for magic, kind in _PICTURES:
        if data.startswith(magic):
            return kind
    other = _other(data)
    if isinstance(other, Kind):
        return other
    if other:
        raise UnsupportedType(f"the content is {other}; only JPEG, PNG, GIF, WebP and TIFF are decoded")
    raise Undecodable(f"the content is of no known file type (it begins with {data[:8]!r})")


def _other(data: bytes) -> Kind | str | None:
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _FTYP.get(data[8:12], "MP4 video")
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    return _markup(data[:4096])


def _markup(head: bytes) -> str | None:
    """Recognise text with tags, in UTF-8 or UTF-16: an SVG's source, or the page that an error sends."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n").lower()
    if not text.startswith("<"):
        return None
    if "<svg" in text or "<!doctype svg" in text:
        return "SVG source, which only Commons itself draws"
    return "HTML" if "<html" in text or text.startswith("<!doctype html") else "XML or HTML"
