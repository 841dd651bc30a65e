"""What is measured of a case, in the process that trains it."""
