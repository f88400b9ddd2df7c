"""Buttons on tasks that lead to the Releases pages of what the run makes.

Airflow works out a task's links on the worker when the task has ended, however it ended. Which release it is about was
said by the first task of the run: a task that failed hands nothing on.
"""

from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink, XComArg
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.configuration import conf
from airflow.sdk.execution_time.xcom import XCom

PAGES = "wit-releases"
"""Where the plugin's pages are, below Airflow's own address."""

FIRST_TASK = "pull_rows"


class ReleaseLink(BaseOperatorLink):
    """The page of the release."""

    name = "Release"
    page = "release/{version}/"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address of the page; that of the list if no task has named the release."""
        first = SimpleNamespace(dag_id=ti_key.dag_id, task_id=FIRST_TASK, run_id=ti_key.run_id, map_index=-1)
        begun = XCom.get_value(ti_key=first, key=BaseXCom.XCOM_RETURN_KEY)
        page = self.page.format(version=quote(begun["version"])) if begun else ""
        return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{PAGES}/{page}"


class DataDocsLink(ReleaseLink):
    """The expectations and what was found."""

    name = "Data Docs"
    page = "files/{version}/quality/index.html"


class ReportLink(ReleaseLink):
    """The report."""

    name = "Report"
    page = "files/{version}/report.html"


def link(task: XComArg, *links: BaseOperatorLink) -> None:
    """Give a task these buttons."""
    for operator, _ in task.iter_references():
        operator.operator_extra_links = links
