"""Reads dags/ as Airflow does, in a process of its own, and prints what it finds as JSON."""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pyarrow", "dask", "distributed", "great_expectations", "cv2", "PIL", "retinaface", "skimage", "s3fs")


def main(state: str) -> None:
    os.environ |= {
        "AIRFLOW_HOME": state,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{state}/none.db",
    }
    from airflow.dag_processing.dagbag import DagBag

    sys.path.append(str(ROOT / "dags"))  # as Airflow does for a bundle of DAGs
    before = set(sys.modules)
    bag = DagBag(dag_folder=str(ROOT / "dags"))
    found = {
        "errors": bag.import_errors,
        "heavy": sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(HEAVY)),
        "library": sorted(name for name in sys.modules if name.startswith("pipelines.")),
        "dags": {dag.dag_id: describe(dag) for dag in bag.dags.values()},
    }
    print(json.dumps(found))


def describe(dag) -> dict:
    return {
        "doc": dag.doc_md or "",
        "description": dag.description or "",
        "tags": sorted(dag.tags),
        "schedule": type(dag.timetable).__name__,
        "cron": getattr(dag.timetable, "expression", None),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "told": [type(notifier).__name__ for notifier in dag.on_failure_callback or []],
        "deadlines": [
            [alert.callback.path.rpartition(".")[2], alert.interval.total_seconds() / 3600]
            for alert in dag.deadline or []
        ],
        "params": {
            name: {"default": param.value, "description": param.description, "schema": param.schema}
            for name, param in ((name, dag.params.get_param(name)) for name in dag.params)
        },
        "tasks": {
            task.task_id: {
                "doc": task.doc_md or "",
                "owner": task.owner,
                "pool": task.pool,
                "retries": task.retries,
                "backoff": task.retry_exponential_backoff,
                "after": sorted(task.upstream_task_ids),
                "links": [button.name for button in task.operator_extra_links],
                "outlets": [outlet.name for outlet in task.outlets],
            }
            for task in dag.tasks
        },
    }


if __name__ == "__main__":
    main(sys.argv[1])
