"""Training of a run, stage by stage."""
