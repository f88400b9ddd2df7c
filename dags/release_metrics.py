"""The numbers of a run, as metrics of Airflow: StatsD or OpenTelemetry, whichever its section ``[metrics]`` names.

Names are ``wit_release.STAGE.STEP.NUMBER``, below Airflow's own prefix; the README lists them.
"""

import datetime

from airflow.sdk.observability import stats

PREFIX = "wit_release"


class AirflowMeter:
    """Hands numbers of ``pipelines.engine.meter`` to Airflow; where no metrics are switched on, that is nowhere."""

    def count(self, name: str, amount: float) -> None:
        """Add to a counter."""
        stats.incr(f"{PREFIX}.{name}", amount)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        stats.gauge(f"{PREFIX}.{name}", value)

    def duration(self, name: str, seconds: float) -> None:
        """Send a time."""
        stats.timing(f"{PREFIX}.{name}", datetime.timedelta(seconds=seconds))
