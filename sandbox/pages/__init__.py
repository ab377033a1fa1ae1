"""The pages that show what happened in a world."""
