"""What proves an account: one file per type. `verify` returns a `Proof` or raises, never a bool."""
