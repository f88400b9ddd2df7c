"""Take files down: out of every later release, marked in those that hold them, and if need be withdrawn from them.

Somebody asks for the removal of a picture: press **Trigger** and fill in the form. What is asked for is recorded and
marked within seconds; `now` makes the next release at once instead of next month, and `withdraw` deletes what holds
the picture from the releases that have it.

| task | what it does |
| --- | --- |
| `take_down` | puts the files on the list, and marks the releases that hold them as superseded |
| `refresh` | with `now`: triggers **Refresh the release**, and waits for the release without the files |
| `withdraw` | with `withdraw`: deletes shards and documents that hold the files from the releases that have them |

#### Why it behaves as it does

**The list comes first, and nothing keeps it waiting,** not even another run of this DAG that waits for its release. It
is read when images are decided upon, and once more right before publication, so a release that is being made at this
moment will be without the files, too. A name that no release knows is recorded all the same, since WIT may have it
later; what cannot be a file's name on Commons is refused.

**Marked at once.** A notice stands beside each release that holds one of the files, long before there is a release to
use instead: those who hold copies can delete the picture today. The reason becomes public, so let it name nobody.

**Withdrawing comes last, and waits.** With `now`, releases lose files only when there is a whole one without the
picture; while another run holds the store's lock, the task says whose it is and looks again each minute. Where the
picture must be gone before the next release can be made, trigger this DAG with `withdraw` alone: the newest release
loses its shards, too. It is the only thing that ever deletes from a finished release, and the notices keep a record.

**`now` needs the DAG Refresh the release to be switched on.** Airflow would keep a run of a paused DAG waiting for
ever, so the task fails and says so. A takedown that was a mistake is lifted from a shell: `python -m pipelines
takedown File:NAME --lift --reason "…"`. Those whom `WIT_RELEASE_ALERTS` and `WIT_RELEASE_WEBHOOK` name are told when a
run of this DAG fails, or is not done in time.
"""

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from release_alerts import deadlines, on_failure
from release_form import takedown_params
from release_tasks import DEFAULT_ARGS, as_airflow_errors

with DAG(
    dag_id="wit_takedown",
    dag_display_name="Take files down",
    description="Keep files out of every later release; mark, and if need be withdraw, what holds them.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=16,
    is_paused_upon_creation=False,
    params=takedown_params(),
    default_args=DEFAULT_ARGS,
    on_failure_callback=on_failure() or None,
    deadline=deadlines() or None,
    tags=["wit", "takedown"],
):

    @task(doc_md="Puts the files on the list of takedowns, and marks the releases that hold them.")
    def take_down(params: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the files, those of them that no release knows, and the releases that are marked."""
        from pipelines.removals import removal
        from pipelines.storage.store import Store

        with as_airflow_errors():
            names = removal.names_of(line for line in params["files"] if line.strip())
            found = removal.take_down(Store(params["store"]), names, params["reason"] or "", params["requester"])
        return {"files": names, "unknown": found.unknown(), "superseded": sorted(found.held)}

    def asked_for(name: str) -> Any:
        """Return a task that lets the next one run if the form says so."""

        @task.short_circuit(
            task_id=f"{name}_is_asked_for",
            doc_md=f"Skips the next task, unless the form says `{name}`.",
            ignore_downstream_trigger_rules=False,
            trigger_rule="none_failed",
        )
        def is_asked_for(params: Mapping[str, Any]) -> bool:
            return bool(params[name])

        return is_asked_for()

    refresh = TriggerDagRunOperator(
        task_id="refresh",
        doc_md="Triggers the DAG that makes the next release, and waits for it.",
        trigger_dag_id="wit_refresh",
        trigger_run_id="operator_triggered__{{ run_id }}",
        conf={name: f"{{{{ params.{name} or '' }}}}" for name in ("store", "base", "accept")},
        reset_dag_run=True,  # a second try goes on with the run of the first
        wait_for_completion=True,
        deferrable=True,
        poke_interval=10,
        fail_when_dag_is_paused=True,
    )

    @task(doc_md="Deletes shards and documents that hold the files from the releases that have them.")
    def withdraw(params: Mapping[str, Any], run_id: str) -> dict[str, int]:
        """Return how many files of each release are withdrawn."""
        from pipelines.removals import removal, withdrawal
        from pipelines.storage.store import Store

        with as_airflow_errors():
            names = removal.names_of(line for line in params["files"] if line.strip())
            done = withdrawal.withdraw(Store(params["store"]), names, run_id)
        return {version: len(files) for version, files in done.items()}

    take_down() >> asked_for("now") >> refresh >> asked_for("withdraw") >> withdraw()
