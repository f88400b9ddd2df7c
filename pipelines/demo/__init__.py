"""A small Commons on this machine: pictures, WIT rows over them, and the HTTP faces of the real one."""
