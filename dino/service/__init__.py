"""Forecasting every day: the state on disk and its cycle."""
