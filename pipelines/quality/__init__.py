"""Measures a release's own files and holds the measurements against the suites in ``expectations/``."""
