"""What goes out of releases again: takedowns, the marks of older releases, withdrawal, housekeeping."""
