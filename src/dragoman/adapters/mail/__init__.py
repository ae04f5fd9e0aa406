"""Mail: letters of the core become messages (`render`, `message`) and are handed over (`smtp`, `console`)."""
