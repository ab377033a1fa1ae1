"""prove: try what only a real subscription can show, in a resource group that the command creates and deletes."""
