"""Training: the stages that fit decoder, dynamics and error statistics to maps."""
