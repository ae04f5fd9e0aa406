"""Shared HTTP parts without domain."""
