"""How commands show plans, findings and documents."""
