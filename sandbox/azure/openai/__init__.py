"""Azure OpenAI's fine-tuning API, with jobs computed from a script and the virtual clock."""
