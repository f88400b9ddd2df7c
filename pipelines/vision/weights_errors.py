"""What can be wrong with a model's weights: all are WeightsErrors, so that one clause catches them."""

from pipelines.errors import WitReleaseError


class WeightsError(WitReleaseError):
    """A model cannot be used for want of the right weights."""


class UnknownModel(WeightsError):
    """No model of that name is known."""


class MissingWeights(WeightsError):
    """The file is not on this machine, and could not be downloaded."""


class ChecksumMismatch(WeightsError):
    """The file is not the published one: cut short, altered, or another model's."""


class DamagedWeights(WeightsError):
    """The file cannot be read as weights, or holds NaN or infinite numbers."""


class WrongArchitecture(WeightsError):
    """The file is whole, but holds weights of another network."""


class StandInRefused(WeightsError):
    """A stand-in was asked for without saying that stand-ins are allowed."""
