"""A finished run read back: its config, model, predictions and scores."""
