"""Checkpoints: written whole or not at all, verified, restored; and how often."""
