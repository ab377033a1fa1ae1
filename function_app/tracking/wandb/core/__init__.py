"""wandb-core: the SDK's process, its files and what it says of failures."""
