"""Layer 2: from flags to a trained model. `main` connects; `loop` is the training itself."""
