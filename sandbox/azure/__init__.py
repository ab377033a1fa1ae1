"""Azure's services: Entra ID, Microsoft Graph, Resource Manager, Key Vault, storage, Azure OpenAI."""
