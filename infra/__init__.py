"""What deploys the function app: Bicep, the package, and the way from `provisioning setup` to both. Nothing here is deployed."""
