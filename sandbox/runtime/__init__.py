"""The server that stands in for the services: TLS, routing, the virtual clock, faults and the trace."""
