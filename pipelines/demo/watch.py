"""Watching a run of a DAG from a terminal: its tasks, their states and seconds, and what went wrong."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines.demo.airflow_api import AirflowApi, TaskState

_EVERY = 1.0  # seconds
_ENDED = frozenset({"success", "failed"})
_STYLES = {"success": "green", "running": "cyan", "failed": "red", "upstream_failed": "red", "up_for_retry": "yellow"}


class Watch:
    """A run that is watched until it ends.

    Args:
        api: the Airflow that runs it.
        dag: its DAG.
        run: its id.
        stages: the tasks, in the order in which they are shown.
        console: where it is shown: a table that is kept up to date on a terminal, else a line for each change.

    """

    def __init__(self, api: AirflowApi, dag: str, run: str, stages: Sequence[str], console: Console) -> None:
        self._api = api
        self._dag = dag
        self._run = run
        self._console = console
        self._order = {name: index for index, name in enumerate(stages)}
        self._states = {name: TaskState(name, "", 0.0, 0) for name in stages}
        self._started = time.monotonic()

    def until_end(self, check: Callable[[], None]) -> bool:
        """Show the run until it has ended; say whether it succeeded. `check` is called now and then, to raise."""
        live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4)
        shown: AbstractContextManager[object] = live if self._console.is_terminal else nullcontext()
        with shown:
            while True:
                check()
                state = self._api.run_state(self._dag, self._run)
                self._update()
                if state in _ENDED:
                    return state == "success"
                time.sleep(_EVERY)

    def problems(self) -> Iterator[str]:
        """Yield what each failed task had to say: its name and the errors in its log."""
        for task in self._states.values():
            if task.state == "failed":
                yield f"{task.task}: {self._errors(task)}"

    def _update(self) -> None:
        tasks = self._api.tasks(self._dag, self._run)
        for task in sorted(tasks, key=lambda task: self._order.get(task.task, len(self._order))):
            before = self._states.get(task.task)
            self._states[task.task] = task
            if before is not None and before.state == task.state:
                continue
            if task.state == "up_for_retry":
                self._console.print(f"{task.task} will be tried again: {self._errors(task)}", style="yellow")
            if not self._console.is_terminal and task.state not in ("", "scheduled", "queued"):
                took = f" ({task.seconds:.1f} s)" if task.state in _ENDED else ""
                self._console.print(f"{time.monotonic() - self._started:6.1f} s  {task.task:<24} {task.state}{took}")

    def _table(self) -> Table:
        table = Table("stage", "state", "seconds", box=None, padding=(0, 2, 0, 0))
        for task in self._states.values():
            seconds = f"{task.seconds:.1f}" if task.seconds else ""
            table.add_row(task.task, f"[{_STYLES.get(task.state, 'dim')}]{task.state or 'waiting'}[/]", seconds)
        return table

    def _errors(self, task: TaskState) -> str:
        errors: list[str] = []
        for entry in self._api.log(self._dag, self._run, task.task, task.attempt):
            if str(entry.get("level", "")).lower() not in ("error", "critical"):
                continue
            details = [f"{part['exc_type']}: {part['exc_value']}" for part in entry.get("error_detail") or ()]
            text = details[-1] if details else str(entry["event"])
            if not any((text.partition(": ")[2] or text) in known for known in errors):
                errors.append(text)
        return "\n".join(errors) or "its log names no error"
