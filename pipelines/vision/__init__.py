"""Pictures: decoding, scaling, faces on them, their embeddings. It knows nothing of stages, Dask or Airflow."""
