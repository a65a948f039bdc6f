"""Simulated oceans: one module per system, each a function config -> canonical field dataset."""
