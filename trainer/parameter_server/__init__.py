"""Parameter servers: weights on servers, workers that do not wait for each other."""
