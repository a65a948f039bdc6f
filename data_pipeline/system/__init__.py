"""Folders and locks, schedulers, progress, settings."""
