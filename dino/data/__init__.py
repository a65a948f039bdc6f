"""From stores to what training and inference see: observations, maps, charts, series."""
