"""The stages of a release: one file per task of the DAG, in its order and under its name."""
