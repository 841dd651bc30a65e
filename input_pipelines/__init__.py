"""Layer 1: bytes on disk -> batches."""
