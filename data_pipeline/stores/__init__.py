"""Stores on disk: writing whole, streaming, growing, validating."""
