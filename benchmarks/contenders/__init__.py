"""How each kind of contender is run, and what its answer says."""
