"""Pages over the store of releases, for people who are signed in to Airflow."""
