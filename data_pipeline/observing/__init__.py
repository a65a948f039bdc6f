"""How instruments see a field: orbits, swaths, errors, clouds."""
