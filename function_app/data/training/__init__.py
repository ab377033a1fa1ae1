"""Training files: formats, lines, samples."""
