"""Others, policies and interruptions come between."""
