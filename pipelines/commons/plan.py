"""Which URL to ask for: the thumbnail, or the original where that is no wider, and the other where only one exists."""

from dataclasses import dataclass
from functools import cached_property

from pipelines.commons import names

_DRAWN = frozenset({"svg", "pdf", "djvu", "webm", "ogv", "ogg", "mpg", "mpeg", "xcf", "stl"})
# Not pictures in themselves: the thumbnail service draws them at any width, and here nothing else could.


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """A file that is wanted.

    Args:
        name: its decoded name on Commons, with underscores.
        image_url: canonical URL of the original; the key under which the caller knows it.
        width: of the original in pixels, as the Action API or WIT says; None: unknown.
        mime: type of the original, as the Action API or WIT says; None: unknown.

    """

    name: str
    image_url: str
    width: int | None = None
    mime: str | None = None


@dataclass(frozen=True)
class Choice:
    """One place on the media servers at which a file may be had.

    Args:
        name: of the file.
        width: of the thumbnail; None: the original.

    """

    name: str
    width: int | None

    @property
    def is_original(self) -> bool:
        """Whether it is the file itself."""
        return self.width is None

    @cached_property
    def path(self) -> str:
        """Its path below the media servers."""
        return names.original_path(self.name) if self.width is None else names.thumbnail_path(self.name, self.width)


def choices(request: MediaRequest, thumbnail_width: int) -> tuple[Choice, ...]:
    """Return where to look for a file, the better place first.

    The thumbnail is never wider than needed, and cheap for the servers; where the original is no wider there is no
    thumbnail, and it is the original that is asked for. Widths in WIT can be wrong or stale, so the other one follows.
    """
    original, thumbnail = Choice(request.name, None), Choice(request.name, thumbnail_width)
    drawn = request.name.rpartition(".")[2].lower() in _DRAWN or (request.mime or "").startswith(("video/", "audio/"))
    if drawn:
        return (thumbnail, original) if request.name.lower().endswith(".svg") else (thumbnail,)
    narrow = request.width is not None and 0 < request.width <= thumbnail_width
    return (original, thumbnail) if narrow else (thumbnail, original)
