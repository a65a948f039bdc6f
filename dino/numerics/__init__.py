"""Numbers that know no model: Gaussian algebra, groups of rows, processes, memory, interruption."""
