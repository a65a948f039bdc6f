"""The layout of stores: channels, checks, constructors of datasets, problems."""
