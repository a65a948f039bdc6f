"""The commands of dino-data, one module each."""
