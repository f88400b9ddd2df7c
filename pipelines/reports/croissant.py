"""croissant.json: the release described for machines, in MLCommons' Croissant format, by MLCommons' own library.

It names every file with checksum and size, and the columns of the joined Parquet files, the captions and the ledger, so
that loaders know what to do with them. Pixels and embeddings as text have no header, which Croissant cannot describe:
they are listed as files, and their content stands in the Parquet files. Its licences are those of the texts and of all
pictures: none of them alone is the release's.
"""

import datetime
import json
from typing import Any

import pyarrow as pa

from pipelines.errors import ReleaseError
from pipelines.releases import joined, shards
from pipelines.reports.card_texts import CITATION, TEXT_LICENCE
from pipelines.reports.facts import Facts, ReleaseFile
from pipelines.tables import KEY, LEDGER

_FORMATS = {
    ".csv.gz": ["text/csv", "application/gzip"],
    ".tsv.gz": ["text/tab-separated-values", "application/gzip"],
    ".parquet": ["application/x-parquet"],
    ".html": ["text/html"],
    ".json": ["application/json"],
    ".md": ["text/markdown"],
}


def croissant(facts: Facts) -> str:
    """Return the text of croissant.json.

    Raises:
        ReleaseError: mlcroissant refuses what was made.

    """
    import mlcroissant as mlc  # type: ignore[import-untyped]

    year, month, day, *number = (int(part) for part in facts.version.split("."))
    files = [_file_object(mlc, file) for file in facts.files]
    sets, record_sets = _record_sets(mlc)
    config = facts.config
    context = mlc.Context(conforms_to="http://mlcommons.org/croissant/1.1")
    try:
        made = mlc.Metadata(
            ctx=context,
            name="wikipedia-images",
            description=(
                f"Release {facts.version}: {facts.released:,} pictures of Wikimedia Commons, {config.image_width} px "
                f"wide, with captions in {len(facts.languages)} languages from WIT and ResNet-50 embeddings."
                + (" Made with stand-in models: faces and embeddings are of no use." if config.stand_in else "")
            ),
            version=f"{year}.{month}.{day}" + "".join(f"+{number}" for number in number),  # as semver.org has it
            date_published=datetime.datetime(year, month, day),
            license=[*dict.fromkeys([TEXT_LICENCE, *filter(None, facts.licence_urls)])],
            url=config.operator_url or "https://commons.wikimedia.org/",
            creators=[mlc.Organization(name=config.operator_name, url=config.operator_url or None)],
            cite_as=CITATION,
            keywords=["images", "captions", "multilingual", "Wikipedia", "Wikimedia Commons", "embeddings"],
            in_language=list(facts.languages),
            personal_sensitive_information=[
                f"Pictures of which a face covers more than {config.face_threshold:.0%} are left out; smaller faces "
                "and names of authors remain."
            ],
            data_limitations=[
                "Each picture has a licence of its own, which the ledger and the Parquet files state, also where it "
                "has no URL. Captions and context have Wikipedia's."
            ],
            distribution=[*files, *sets],
            record_sets=record_sets,
        )
    except mlc.ValidationError as error:
        raise ReleaseError(f"mlcroissant refuses the description of release {facts.version}: {error}") from error
    return json.dumps(made.to_json(), indent=1, ensure_ascii=False, default=_as_text) + "\n"


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _file_object(mlc: Any, file: ReleaseFile) -> Any:
    formats = next((formats for ending, formats in _FORMATS.items() if file.path.endswith(ending)), ["text/plain"])
    return mlc.FileObject(
        id=file.path,
        name=file.path,
        content_url=file.path,
        content_size=f"{file.bytes} B",
        sha256=file.sha256,
        encoding_formats=formats,
    )


def _record_sets(mlc: Any) -> tuple[list[Any], list[Any]]:
    """Return the sets of files that hold tables, and the tables."""
    captions = pa.schema([(name, pa.string()) for name in shards.CAPTION_COLUMNS])
    tables = (
        ("images", f"{joined.FOLDER}/*.parquet", joined.SCHEMA, "One row for each released picture."),
        ("captions", f"{shards.CAPTIONS_FOLDER}/*.tsv.gz", captions, "The WIT rows of the released pictures."),
        ("ledger", f"{shards.LEDGER_FOLDER}/*.parquet", LEDGER.schema, "What became of every image considered."),
    )
    sets, record_sets = [], []
    for name, includes, schema, description in tables:
        formats = next(formats for ending, formats in _FORMATS.items() if includes.endswith(ending))
        files = mlc.FileSet(id=f"{name}-files", name=f"{name}-files", includes=[includes], encoding_formats=formats)
        fields = [_field(mlc, name, files.id, column) for column in schema]
        key = f"{name}/{KEY}" if name != "captions" else None
        sets.append(files)
        record_sets.append(mlc.RecordSet(id=name, name=name, description=description, key=key, fields=fields))
    return sets, record_sets


def _field(mlc: Any, table: str, files: str, column: pa.Field) -> Any:
    name = f"{table}/{column.name}"
    source = mlc.Source(file_set=files, extract=mlc.Extract(column=column.name))
    kind = column.type
    if column.name == "image":
        source.transforms = [mlc.Transform(json_path="bytes")]
        return mlc.Field(id=name, name=name, data_types=[mlc.DataType.IMAGE_OBJECT], source=source)
    if pa.types.is_fixed_size_list(kind):
        return mlc.Field(
            id=name,
            name=name,
            data_types=[_data_type(mlc, kind.value_type)],
            is_array=True,
            array_shape=str(kind.list_size),
            source=source,
        )
    if pa.types.is_list(kind):
        parts = [
            mlc.Field(
                id=f"{name}/{part.name}",
                name=f"{name}/{part.name}",
                data_types=[_data_type(mlc, part.type)],
                source=mlc.Source(
                    file_set=files,
                    extract=mlc.Extract(column=column.name),
                    transforms=[mlc.Transform(json_path=part.name)],
                ),
            )
            for part in kind.value_type
        ]
        return mlc.Field(id=name, name=name, repeated=True, sub_fields=parts)
    return mlc.Field(id=name, name=name, data_types=[_data_type(mlc, kind)], source=source)


def _data_type(mlc: Any, kind: pa.DataType) -> Any:
    known = {
        pa.bool_(): mlc.DataType.BOOL,
        pa.int32(): mlc.DataType.INT32,
        pa.int64(): mlc.DataType.INT64,
        pa.float32(): mlc.DataType.FLOAT32,
        pa.float64(): mlc.DataType.FLOAT64,
    }
    return known.get(kind, mlc.DataType.TEXT)
