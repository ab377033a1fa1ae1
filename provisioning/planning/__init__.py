"""Compare the target with the observed state and return plans. Pure: no SDK and no I/O."""
