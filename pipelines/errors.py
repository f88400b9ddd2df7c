"""The errors that a user can meet, each saying what happened, to which file or row, and what to do.

    WitReleaseError
    ├── SettingError        a setting is out of range or missing            (names the field)
    ├── InputError          a WIT file cannot be used                       (names the file)
    ├── InputUnreachable    a WIT file's server does not answer now         (names the file)
    ├── StoreError          the store cannot be read or written             (names the path)
    │   └── NotThere        it can be, and has no such file                 (names the path)
    ├── StoreLocked         another run makes a release in the store        (names the run)
    ├── ReleaseError        a release is not in the state that was needed   (names the version)
    ├── StageFailed         a partition of a stage failed                   (names stage and partition)
    └── ValidationFailed    expectations did not hold                       (names each of them)

The errors of Commons and of the models are defined where they are raised (``commons``, ``vision``).
"""


class WitReleaseError(Exception):
    """Anything that this program reports to its user instead of a traceback."""


class SettingError(WitReleaseError):
    """A setting is missing, out of range, or contradicts another."""


class InputError(WitReleaseError):
    """A WIT file is missing, truncated, or not in the WIT format."""


class InputUnreachable(WitReleaseError):
    """A file's server does not answer, or not as it should; it is a matter of time."""


class StoreError(WitReleaseError):
    """The store cannot be read or written, or a file in it is not what it should be."""


class NotThere(StoreError):
    """The store has no such file; what it could not be asked is another error."""


class StoreLocked(WitReleaseError):
    """Another run makes a release in the same store; it is a matter of time."""


class ReleaseError(WitReleaseError):
    """A release does not exist, exists already, or is not in the state that an operation needs."""


class StageFailed(WitReleaseError):
    """A stage failed on one partition; what other partitions finished is kept, and the next run goes on from there."""

    def __init__(self, stage: str, partition: str, cause: BaseException) -> None:
        super().__init__(f"{stage} failed on {partition}: {type(cause).__name__}: {cause}")
        self.stage = stage
        self.partition = partition


class ValidationFailed(WitReleaseError):
    """The release does not meet its expectations, so it stays unpublished."""

    def __init__(self, version: str, failures: list[str], report: str) -> None:
        listed = "\n".join(f"  - {failure}" for failure in failures)
        super().__init__(
            f"release {version} is not published: {len(failures)} expectation(s) failed:\n{listed}\nData Docs: {report}"
        )
        self.failures = failures
