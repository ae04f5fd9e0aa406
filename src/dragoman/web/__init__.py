"""Hosted pages: a dialect whose wire is HTML."""
