"""A run directory: its files, its lock, its launches, and what data it was trained on."""
