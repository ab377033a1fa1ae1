"""prove: what only a real subscription can show, tried in a resource group that the command creates and deletes."""
