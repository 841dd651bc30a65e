"""The machine: its health, pinned cores, virtual hosts, and processes beside."""
