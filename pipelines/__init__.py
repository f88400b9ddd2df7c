"""The library behind wit-release: from WIT rows to a validated release. It knows nothing of Airflow."""
