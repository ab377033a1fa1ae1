"""The pages for people, and what writes those that are written by a program."""
