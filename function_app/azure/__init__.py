"""Clients for Azure: fine-tuning jobs and files, Key Vault, storage."""
