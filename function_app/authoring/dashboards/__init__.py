"""`dashboard`: views of a project and its automations."""
