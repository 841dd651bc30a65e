"""Measures the trainer, and what people use instead: `python -m benchmarks.main --help`."""
