"""Make the next release, once a month: at the price of what changed since the one before.

Switch this DAG on, and it follows the newest release of the store with another one, on the first of each month. It
can be triggered by hand as well; the form is short, because everything that is not given stays as it was: `base` names
the release to follow, `wit_files` other WIT files, `accept` a reason to overlook warnings that the new one may have.
One that waits with warnings already is published by **Make a release**, from its version and the reason. Where there
is no release yet, the first refresh makes a full one, from the deployment's defaults.

The tasks are those of **Make a release**, and do the same: `pull_rows`, `describe_files`, `fetch_images`,
`detect_faces`, `find_deletion_candidates`, `decide`, `write_shards`, `embed_images`, `validate`, `publish`.

#### Why it behaves as it does

**What is the same is reused.** Each refresh asks Commons about every file, fifty at a time. While name, checksum and
upload time of a file are the same, its picture, its faces and its features are those of the release before: nothing is
fetched and nothing computed. Shards in which nothing changed are the very same files. What was uploaded again, moved,
deleted, nominated for deletion, relicensed or captioned anew is made again, and listed in the release's `changes/`,
each with its reason.

**One release at a time.** Airflow starts no second run of this DAG while one is on, and a month that was missed while
the machine was down is made up for by one refresh, not by several: there is but one present state of Commons. While
another run is at work in the store, or may try a failed task again, the first task waits.

**It drops nobody's work.** What was fetched for a release of other WIT files or other rules for pictures, begun by
another run and not finished, would be lost to a refresh. So it fails, and says whose it is: let that run go on, or give
the release up by naming the one to follow in `base`.

**Which settings.** The form counts first, then the deployment's defaults (the file that `WIT_RELEASE_DEFAULTS` names),
then the settings of the release that is followed; a list that the file gives as `[]` is empty from then on.
`WIT_RELEASE_SCHEDULE` replaces the schedule: a cron expression, one of Airflow's presets such as `@weekly`, or `none`
for refreshes by hand alone.

**Who is told when it fails, or is late.** The address in `WIT_RELEASE_ALERTS` gets an e-mail, by Airflow's connection
`smtp_default`; the connection that `WIT_RELEASE_WEBHOOK` names gets a JSON object posted. Both happen when a run has
failed, and when it is not done after `WIT_RELEASE_DEADLINE_HOURS` (168, a week; `none`: no deadline), which stops
nothing. A release that was made before stays as it is, and the next run goes on where this one stopped.

**Who is told when it is done.** What is scheduled on the asset `wit_release`: its event carries version and counts.
"""

import os

from airflow.sdk import DAG

from release_alerts import deadlines, on_failure
from release_form import refresh_params, refresh_settings
from release_tasks import DEFAULT_ARGS, stages_of_a_release

SCHEDULE = os.environ.get("WIT_RELEASE_SCHEDULE") or "@monthly"
BY_HAND = SCHEDULE == "none"

with DAG(
    dag_id="wit_refresh",
    dag_display_name="Refresh the release",
    description="The next release: what changed on Commons and in WIT since the one before, and nothing else.",
    doc_md=__doc__,
    schedule=None if BY_HAND else SCHEDULE,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=not BY_HAND,  # a schedule begins when somebody says so
    params=refresh_params(),
    default_args=DEFAULT_ARGS,
    on_failure_callback=on_failure() or None,
    deadline=deadlines() or None,
    tags=["wit", "release", "refresh"],
):
    stages_of_a_release(refresh_settings)
