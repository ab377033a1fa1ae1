"""Who gets which access: roles, access policies, and the principals that hold them."""
