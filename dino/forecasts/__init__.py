"""From latent states to fields: ensembles, decoding, tracks, wide grids, CF datasets."""
