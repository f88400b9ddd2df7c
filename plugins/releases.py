"""The entry "Releases" in Airflow's navigation: the releases of the store, to look at, to compare and to download.

It reads the store and nothing else: not Airflow's database, and not its tasks. Who is not signed in to Airflow sees
nothing of it.
"""

from airflow.plugins_manager import AirflowPlugin

from release_pages.app import make_app

PREFIX = "wit-releases"
"""Where the pages are, below Airflow's own address; also the name of the view that shows them."""


class ReleasesPlugin(AirflowPlugin):
    """Pages over the store of releases."""

    name = "wit_releases"
    # Airflow wants lists of dicts as attributes of the class.
    fastapi_apps = [{"app": make_app(), "url_prefix": f"/{PREFIX}", "name": "Releases"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"name": "Releases", "href": f"{PREFIX}/", "destination": "nav", "url_route": "releases"}
    ]
