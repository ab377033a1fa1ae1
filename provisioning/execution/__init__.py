"""Applies a plan, one step at a time. Every step can be repeated safely."""
