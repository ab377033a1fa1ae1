"""W&B's GraphQL API: nodes, queries and mutations over the store."""
