"""Where a file is looked for first, and where next."""

import pytest

from pipelines.commons.names import original_url
from pipelines.commons.plan import MediaRequest, choices


def places(name: str, width: int | None, mime: str | None = None) -> list[str]:
    request = MediaRequest(name, original_url(name), width, mime)
    return ["original" if choice.is_original else "thumbnail" for choice in choices(request, 330)]


@pytest.mark.parametrize(
    ("width", "order"),
    [
        (331, ["thumbnail", "original"]),
        (330, ["original", "thumbnail"]),
        (1, ["original", "thumbnail"]),
        (None, ["thumbnail", "original"]),
        (0, ["thumbnail", "original"]),
    ],
)
def test_the_original_comes_first_where_it_is_no_wider(width: int | None, order: list[str]) -> None:
    assert places("Tower.jpg", width) == order


def test_a_drawing_is_drawn_whatever_its_nominal_width() -> None:
    assert places("Television.svg", 20) == ["thumbnail", "original"]
    assert places("Book.pdf", 20) == ["thumbnail"]
    assert places("Film.webm", None) == ["thumbnail"]
    assert places("Odd.bin", None, "video/x-unknown") == ["thumbnail"]


def test_paths_are_commons_own() -> None:
    thumbnail, original = choices(MediaRequest("Tower.jpg", "…", 1456), 330)
    assert thumbnail.path == "/wikipedia/commons/thumb/2/29/Tower.jpg/330px-Tower.jpg"
    assert original.path == "/wikipedia/commons/2/29/Tower.jpg"
