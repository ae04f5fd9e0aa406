"""The only SQL: two engines behind one small interface, and one file per subject."""
