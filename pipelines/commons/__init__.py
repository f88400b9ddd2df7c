"""What there is to know of Wikimedia Commons: names and URLs, the Action API, media, politeness.

Nothing here knows of stages or Airflow, and only ``leases`` knows of Dask.
"""
