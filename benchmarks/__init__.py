"""What this project is measured against: `python -m benchmarks.incumbent`."""
