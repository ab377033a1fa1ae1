"""The Weights & Biases tracker. Only this package imports the wandb SDK."""
