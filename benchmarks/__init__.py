"""Benchmarks, such as the comparison with WandbLogger: `python -m benchmarks.incumbent`."""
