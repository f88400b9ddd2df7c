"""Looking for secrets that were planted: in every file of a folder, whatever it is packed in."""

import base64
import gzip
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow.parquet as pq


def found(secrets: Iterable[str], files: Mapping[str, bytes]) -> list[str]:
    """Return which secret stands in which file, as it is or in base64 as HTTP's headers have it."""
    needles = {secret: (secret.encode(), base64.b64encode(secret.encode())) for secret in secrets}
    contents = {name: unpacked(name, data) for name, data in files.items()}
    return [
        f"{secret} in {name}"
        for name, content in contents.items()
        for secret, spellings in needles.items()
        if any(spelling in content for spelling in spellings)
    ]


def unpacked(name: str, data: bytes) -> bytes:
    """Return the content of a file in plain text."""
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".parquet"):
        table = pq.ParquetFile(io.BytesIO(data))
        return repr((table.metadata.metadata, table.read().to_pylist())).encode()
    return data


def files_below(folder: Path, but: Iterable[str] = ()) -> dict[str, bytes]:
    """Return the files of a folder, but for those of these names."""
    kept = set(but)
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name not in kept
    }
