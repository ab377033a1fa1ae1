"""Prepare training: check data, count tokens, submit jobs, save the dashboard. Not deployed to Azure."""
