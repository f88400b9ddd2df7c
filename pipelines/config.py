"""ReleaseConfig: every setting of a release, with its meaning, its default and its bounds.

The form of the DAG, the options of the command line and the manifest are all made from this one model, so a setting is
described once. Stages name the settings that they read; changing one recomputes what depends on it and nothing else.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.commons.origin import Origin, origin
from pipelines.errors import SettingError
from pipelines.places import INPUT, PLACE, refuse_secrets, refuse_secrets_of_input

WIT = "https://storage.googleapis.com/gresearch/wit/"

_VERSION = r"^(\d{4}\.\d{2}\.\d{2}(\.\d+)?)?$"

_REASON = r"^(\S.*)?$"
"""Nothing, or one line of text."""

REQUESTERS = ("subject", "author", "rights holder", "commons", "other")
"""Who may have asked for a takedown: what kind of person, never which. The list is for all who may read the store."""

Share = Annotated[float, Field(ge=0, le=1)]

Place = Annotated[str, AfterValidator(refuse_secrets), Field(json_schema_extra={"pattern": PLACE})]
"""Where servers or the store are."""

Input = Annotated[str, AfterValidator(refuse_secrets_of_input), Field(json_schema_extra={"pattern": INPUT})]
"""Where a file is that is read."""


def _named_in(namespace: str) -> AfterValidator:
    """Take the namespace off the name of a page, which people copy as Commons shows it."""

    def bare(name: str) -> str:
        rest = re.sub(rf"^[\s:]*{namespace}[\s_]*:", "", name, flags=re.IGNORECASE).strip(" _")
        if not rest:
            raise ValueError("a name is needed")
        return rest

    return AfterValidator(bare)


CategoryName = Annotated[str, _named_in("category")]
TemplateName = Annotated[str, _named_in("template")]


class ReleaseConfig(BaseModel):
    """What to release, from where, by whom, under which rules. Immutable; refused as a whole if a field is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What
    wit_files: list[Input] = Field(
        default=[WIT + "wit_v1.train.all-1percent_sample.tsv.gz"],
        min_length=1,
        description="WIT files in their raw format (.tsv or .tsv.gz): paths or URLs. The default is the 1 % sample. "
        "No secrets here: a login or a signed query is written as a variable of the workers' environment, "
        "https://${WIT_SECRET_LOGIN}@host/wit.tsv.gz?${WIT_SECRET_QUERY}.",
    )
    version: str = Field(
        default="",
        pattern=_VERSION,
        description="Name of the release, YYYY.MM.DD or YYYY.MM.DD.N. Empty: today's date, numbered if it is taken.",
    )
    base: str = Field(
        default="",
        pattern=_VERSION,
        description="The published release that this one follows: changes/ says what is different. Empty: the newest.",
    )
    store: Place = Field(
        default="./store",
        min_length=1,
        description="Where releases and intermediate tables go: a folder or an s3:// URL.",
    )
    max_rows: int = Field(
        default=0, ge=0, description="Read only this many rows of each WIT file, for a trial run. 0: all of them."
    )
    max_bad_rows_share: Share = Field(
        default=0.001,
        description="Malformed WIT rows are quarantined; more than this share of a file's rows stops the run.",
    )
    partitions: int = Field(
        default=200, ge=1, le=1000, description="Number of shards. An image keeps its shard for life: do not change it."
    )

    # From where, and as whom
    origin: Literal["wikimedia", "mirror", "demo"] = Field(
        default="wikimedia",
        description="Where pictures come from. wikimedia: the public servers, at the limits of their robot policy. "
        "mirror: a copy of your own. demo: the small Commons that comes with this program.",
    )
    operator_name: str = Field(
        default="wit-release", min_length=1, description="Name of your project or organisation, for the user agent."
    )
    operator_url: str = Field(default="", description="A page about you or your project, for the user agent.")
    operator_contact: str = Field(
        default="",
        description="E-mail address at which Wikimedia can reach you, for the user agent. Required for wikimedia, and "
        "where files are read from its servers: its policy asks for the operator's contact. It becomes public: "
        "requests for removal go to it as well.",
    )
    media_url: Place = Field(default="", description="Base URL of the media servers, for a mirror or the demo.")
    api_url: Place = Field(default="", description="URL of the Action API (…/w/api.php), for a mirror or the demo.")
    connections: int = Field(
        default=0, ge=0, description="Connections to the media servers in all. 0: what the origin's policy allows."
    )
    bits_per_second: int = Field(
        default=0, ge=0, description="Bandwidth from the media servers in all. 0: what the origin's policy allows."
    )
    agreement: str = Field(
        default="",
        description="Reference of an agreement with the servers' operator, needed to go above the policy's limits.",
    )
    max_fetch_failed_share: Share = Field(
        default=0.01, description="More than this share of images that could not be fetched stops publication."
    )

    # Rules for pictures
    image_width: int = Field(default=300, ge=64, le=330, description="Width of the released pictures in pixels.")
    jpeg_quality: int = Field(default=90, ge=50, le=100, description="JPEG quality of the released pictures.")
    face_model: Literal["retinaface-resnet50", "retinaface-mobilenet0.25", "cascade-stand-in"] = Field(
        default="retinaface-resnet50",
        description="Face detector. The MobileNet is the small one, for machines without a GPU.",
    )
    face_threshold: Share = Field(
        default=0.10, description="A picture is dropped when a face covers more than this share of its surface."
    )
    face_rule: Literal["largest", "union"] = Field(
        default="largest", description="What is held against the threshold: the largest face, or all faces together."
    )
    face_score: float = Field(
        default=0, ge=0, le=1, description="Detections below this score are no faces. 0: the detector's own default."
    )
    embedding_model: Literal["resnet50", "resnet50-stand-in"] = Field(
        default="resnet50", description="Network of the 2048 features for each picture."
    )
    stand_in: bool = Field(
        default=False,
        description="Allow models that only stand in for the real ones. Such a release goes to the demo store alone.",
    )
    deletion_categories: list[CategoryName] = Field(
        default=[
            "Copyright violations",
            "Other speedy deletions",
            "Advertisements for speedy deletion",
            "Personal files for speedy deletion",
            "Duplicate",
        ],
        description="Commons categories whose files are deletion candidates.",
    )
    deletion_dated_categories: list[CategoryName] = Field(
        default=["Deletion requests", "Media missing permission", "Media without a source", "Media without a license"],
        description="Commons categories whose dated subcategories hold deletion candidates.",
    )
    deletion_templates: list[TemplateName] = Field(
        default=["Delete"], description="Files that transclude one of these templates are deletion candidates."
    )
    deletion_dumps: Input = Field(
        default="",
        description="Read the categories from SQL dumps of Commons instead of asking the API: what their paths or URLs "
        "begin with, such as https://dumps.wikimedia.org/commonswiki/latest/commonswiki-latest- (page, categorylinks "
        "and linktarget are read). The last look before publication asks the API all the same.",
    )

    # Whether it may be published
    drift_fewest_images: int = Field(
        default=100,
        ge=1,
        description="Compare the release with the one before, unless that has fewer images: chance would explain it.",
    )
    drift_images: Share = Field(
        default=0.1, description="Warn when there are by more than this share fewer or more images than last time."
    )
    drift_outcomes: Share = Field(
        default=0.05, description="Warn when the share of an outcome has moved by more than this since last time."
    )
    drift_languages: Share = Field(
        default=0.5, description="Warn when a language has by more than this share fewer or more rows than last time."
    )
    drift_mean_embedding: Share = Field(
        default=0.02,
        description="Warn when the mean embedding has turned by more than this since last time (1 less the cosine).",
    )
    accept: str = Field(
        default="",
        pattern=_REASON,
        max_length=500,
        description="Publish the release although it has warnings, for this reason, in words. It becomes public. "
        "Errors cannot be accepted.",
    )

    # Where it runs
    workers: int = Field(
        default=0, ge=0, description="Processes on this machine when no Dask cluster is given. 0: one per core."
    )

    keep_records: int = Field(
        default=3,
        ge=0,
        description="When a release is published, remove what none needs any more, and keep all records (measurements, "
        "report of the making) of this many of the newest. 0: remove nothing; that is left to python -m pipelines gc.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.stand_in and (self.face_model == "cascade-stand-in" or self.embedding_model.endswith("stand-in")):
            raise ValueError("stand_in: must be true for a face_model or embedding_model that is a stand-in")
        if self.stand_in and self.origin != "demo":
            raise ValueError("stand_in: only the demo origin may use stand-in models; fetch the real weights instead")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build a config from a form or a command line.

        Raises:
            SettingError: naming each field that is refused, and why.

        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = []
            for problem in error.errors():
                field = ".".join(str(part) for part in problem["loc"])
                message = problem["msg"].removeprefix("Value error, ")
                problems.append(f"{field}: {message}" if field else message)
            raise SettingError("; ".join(problems)) from None

    def commons(self) -> Origin:
        """Return the servers of Commons that these settings name, with the limits that hold there.

        A run calls it before anything else. Settings are no less settings for being against the policy: it may be
        stricter than when a release was made, which can still be kept in order.

        Raises:
            SettingError: the settings ask for more than the policy allows, or lack what it asks for.

        """
        return origin(
            self.origin,
            media_url=self.media_url or None,
            api_url=self.api_url or None,
            inputs=(*self.wit_files, self.deletion_dumps),
            operator_name=self.operator_name,
            operator_contact=self.operator_contact,
            operator_url=self.operator_url,
            agreement=self.agreement or None,
            connections=self.connections or None,
            bits_per_second=self.bits_per_second or None,
        )

    def subset(self, fields: tuple[str, ...]) -> dict[str, Any]:
        """Return the named settings, JSON-ready: what a stage's fingerprint is made of."""
        dumped = self.model_dump(mode="json")
        return {field: dumped[field] for field in fields}
