"""The model that is trained: its weights at the start, what is frozen, its precision."""
