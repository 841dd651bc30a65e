"""Exports a trained run to a file that another program runs, and checks it in that program."""
