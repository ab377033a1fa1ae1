"""Compares what is wanted with what exists, and returns plans. Pure: no SDK and no I/O."""
