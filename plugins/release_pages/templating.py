"""Templates of the pages: every value is text, whatever it holds, and numbers are easy to read."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def number(value: int | None) -> str:
    """Return a count with commas; a dash where there is none."""
    return "–" if value is None else f"{value:,}"


def signed(value: int | None) -> str:
    """Return a change with its sign; a dash where there is none."""
    return "–" if value is None else f"{value:+,}" if value else "±0"


def size(count: float) -> str:
    """Return bytes in a unit that fits."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds, as far as they matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def value(setting: Any) -> str:
    """Return a setting as text."""
    if isinstance(setting, list):
        return ", ".join(map(str, setting)) or "–"
    return "–" if setting in ("", None) else str(setting)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "size": size,
        "duration": duration,
        "value": value,
        "address": lambda path: quote(path, safe="/"),
    }
    return environment


_TEMPLATES = _environment()


def render(template: str, **values: Any) -> str:
    """Return a page as HTML."""
    return _TEMPLATES.get_template(template).render(**values)
