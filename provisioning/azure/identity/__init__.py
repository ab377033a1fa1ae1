"""The signed-in identity and its tokens."""
