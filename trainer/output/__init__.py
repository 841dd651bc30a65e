"""All that a run says: the console, metrics.jsonl, TensorBoard."""
