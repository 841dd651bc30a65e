"""`python -m trainer.predict`: asks a run's model about images."""
