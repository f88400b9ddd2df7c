"""Releases: their names and states, their files and the readers of those, copies, and what changed."""
