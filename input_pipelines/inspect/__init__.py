"""A look at a data set before it is trained on: `python -m input_pipelines.inspect`."""
