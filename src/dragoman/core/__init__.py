"""What the product knows: accounts, credentials, attempts, sessions. No HTTP, no SQL, no settings."""
