"""What talks to things outside: one file each, behind a port of `core/ports.py`."""
