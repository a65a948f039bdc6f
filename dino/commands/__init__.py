"""The commands of `dino`, one module each."""
