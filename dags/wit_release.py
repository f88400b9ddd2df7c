"""Make a release: from rows of WIT to a validated, published set of pictures and embeddings.

Press **Trigger**, fill in the form, and this DAG makes the release that the form describes. For a real one it is
enough to give `operator_contact`; for a trial run, set `max_rows` as well.

| task | what it does |
| --- | --- |
| `pull_rows` | reads the WIT files; each image of Commons is assigned to one of 200 partitions, for life |
| `describe_files` | asks Commons about each file: does it still exist, under which name, licence, author |
| `fetch_images` | fetches the pictures and makes them 300 px wide |
| `detect_faces` | measures the faces in each picture |
| `find_deletion_candidates` | reads which files Commons is about to delete |
| `decide` | gives every image exactly one outcome, in the ledger |
| `write_shards` | writes pixels and captions of the released images |
| `embed_images` | writes their ResNet-50 embeddings |
| `validate` | checks the written files against the expectations in `expectations/` |
| `publish` | asks for deletions once more, and makes the release final |

#### Why it behaves as it does

**A task may be run again at any time.** What is finished is on disk, partition by partition, with a fingerprint of
everything that it was made of. A task that was killed, retried or cleared goes on where it stopped; a whole run that
is cleared does only what is missing. All tasks of one run make one release: the run's id is its name, and an empty
`version` becomes today's date at the first task.

**One run at a time, and two pools of one slot.** Wikimedia allows an operator two connections to its media servers
and one to its API, in all: not per task and not per run. The pools `commons_media` and `commons_api` hold that line
between tasks and between DAGs; within a task, workers share the connections as leases. Do not enlarge the pools: to
fetch faster from a mirror of your own, set `connections`.

**Files are described before they are fetched**, because one request to the API tells the fate of fifty files: those
that were deleted cost no request to the media servers, and those that were renamed are fetched under their new name.

**Deletion candidates are read after the fetch,** which takes days for the whole of WIT, and once more by `publish`:
what is nominated in between must not be published.

**Faces are numbers, dropping is a decision.** `detect_faces` stores how much of a picture faces cover; `decide`
compares it with the threshold. Another threshold runs `decide` and what follows, and no inference.

**What is retried.** Network, disk and machine: three times, after half a minute, 2 and 8 minutes. A setting that is
refused, an input that is no WIT file and a release that fails its validation fail at once: only a person can change
that.

**What waits with warnings is published by the same form**: give its `version`, and in `accept` the reason. Then no
other field counts but `store`: whoever made that release, it is published as it was made. Without `accept`, a `version`
that was begun with other WIT files or rules for pictures is refused.

**Who finds the store in use waits.** Once a minute the task looks whether the other run has ended; its log says whose
that is. This uses up no retry.

Progress is in each task's log: partitions done, images per second, time left. XCom carries the release's version and
counts, nothing else. The event of the asset `wit_release` carries the same for what is to run after a release.

**Who is told when it fails, or takes longer than a week**: those whom `WIT_RELEASE_ALERTS` and `WIT_RELEASE_WEBHOOK`
name, as for **Refresh the release**.
"""

from airflow.sdk import DAG

from release_alerts import deadlines, on_failure
from release_form import own_settings, release_params
from release_tasks import DEFAULT_ARGS, stages_of_a_release

with DAG(
    dag_id="wit_release",
    dag_display_name="Make a release",
    description="From rows of WIT to a validated release: pictures at 300 px, embeddings, captions and a ledger.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=release_params(),
    default_args=DEFAULT_ARGS,
    on_failure_callback=on_failure() or None,
    deadline=deadlines() or None,
    tags=["wit", "release"],
):
    stages_of_a_release(own_settings)
