"""Clients for Azure's services. SDK errors become the errors of `provisioning.errors` here."""
