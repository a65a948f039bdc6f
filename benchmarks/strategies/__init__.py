"""Transfer strategies compared on the same oceans: `benchmarks/transfer.py` is the command."""
