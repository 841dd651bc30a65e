"""The step engine: what one training step computes, and how many run in one call."""
