"""Whole experiments: training a run, the demo, DINo's protocols."""
