"""Layer 0: what every package shares. Standard library and absl only, never TensorFlow."""
