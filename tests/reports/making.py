"""Facts of a release that was never made."""

from dataclasses import replace
from typing import Any

from pipelines.config import ReleaseConfig
from pipelines.reports.facts import Facts, Input, ReleaseFile
from pipelines.tables import Outcome
from pipelines.vision.weights import WeightsUsed

SETTINGS: dict[str, Any] = {
    "operator_name": "Museum of Maps",
    "operator_url": "https://maps.example/wit",
    "operator_contact": "wit@maps.example",
}


def facts(settings: dict[str, Any] | None = None, **changes: Any) -> Facts:
    counts = {outcome: number * 100 for number, outcome in enumerate(Outcome)}
    made = Facts(
        base="",
        version="2026.11.23",
        config=ReleaseConfig.parse({**SETTINGS, **(settings or {})}),
        inputs=(Input("https://storage.example/wit.tsv.gz", 12_000, 7, 3, "ab" * 32),),
        caption_rows=9_000,
        outcomes=counts,
        formats={"JPEG": 700, "PNG": 100},
        licences={"CC BY-SA 4.0": 500, "Public domain": 300},
        licence_urls={"https://creativecommons.org/licenses/by-sa/4.0": 500, "": 300},
        languages={"de": 3000, "en": 2500, "zh-TW": 12, "simple": 1},
        near_duplicates=17,
        models=(WeightsUsed("retinaface-resnet50", "cd" * 32, "for non-commercial research", stand_in=False),),
        processors={"retinaface-resnet50": {"cuda bf16": 700, "cpu fp32": 100}},
        files=(
            ReleaseFile("image_pixels/part-00000.csv.gz", 1000, "01" * 32, 800),
            ReleaseFile("parquet/part-00000.parquet", 2000, "02" * 32, 800),
            ReleaseFile("quality/index.html", 30, "03" * 32),
        ),
    )
    return replace(made, **changes)
