"""Where and how a field lives: domains, charts that cover them, boxes, maps on grids, decoders."""
