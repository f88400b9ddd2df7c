"""WIT's files, and how they and other inputs are read from where they are."""
