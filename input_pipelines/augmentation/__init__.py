"""Random changes of training images, drawn by (seed, step, row)."""
