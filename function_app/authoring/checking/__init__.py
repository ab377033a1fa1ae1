"""`check`: the rules for training files and what they find, without any service."""
