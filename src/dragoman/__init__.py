"""Dragoman: a self-hosted sign-in server that speaks the login API your clients already speak."""

__version__ = "0.1.0"
