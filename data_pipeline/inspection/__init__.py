"""What a store holds: where, when, and its statistics."""
