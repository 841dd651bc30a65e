"""The report of a results folder, made from its records alone."""
