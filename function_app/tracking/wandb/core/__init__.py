"""wandb-core: the SDK's process, its files, and its reports of failures."""
