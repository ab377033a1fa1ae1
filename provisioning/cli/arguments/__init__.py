"""What the command line takes: options, their types, and what they name."""
