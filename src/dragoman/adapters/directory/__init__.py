"""Directories: people and passwords that are kept elsewhere (`ldap`)."""
