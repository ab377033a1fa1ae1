"""The access that setup gives: roles, access policies, and the principals that hold them."""
