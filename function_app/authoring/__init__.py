"""Prepares training: checks data, counts tokens, submits jobs, saves the dashboard. Not deployed to Azure."""
