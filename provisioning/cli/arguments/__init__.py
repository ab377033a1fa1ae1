"""The arguments of the command line: options, their types, and the resources that they name."""
