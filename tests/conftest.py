"""Fixtures that every test may ask for."""

from kit.postgres import postgres_cluster, postgres_dsn

__all__ = ["postgres_cluster", "postgres_dsn"]
