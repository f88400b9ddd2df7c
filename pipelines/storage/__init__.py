"""Where everything is kept: files on a disk or an object store, written whole, one release at a time."""
