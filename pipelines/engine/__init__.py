"""Runs the steps of a stage over the partitions on Dask: skips what is done, resumes, reuses, reports progress.

A stage knows nothing of this package but ``step``: what a step declares, and what it is handed.
"""
