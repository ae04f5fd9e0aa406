"""Passwords on the command line: read from standard input or drawn, never an argument that others could see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dragoman.core.ports import Random

F = TypeVar("F", bound=Callable[..., Any])
LETTERS = "23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
LENGTH = 20


def generated(random: Random) -> str:
    """Return a password of 20 characters without look-alikes: 115 bits."""
    return "".join(LETTERS[random.below(len(LETTERS))] for _ in range(LENGTH))


def password_options(command: F) -> F:
    """Add the ways to give a password: `password_stdin`, `generate_password`, `allow_weak`, `initial`."""
    for option in (
        click.option("--initial", is_flag=True, help="It dies after 7 days unless its owner replaces it."),
        click.option("--allow-weak", is_flag=True, help="Take a password that breaks the policy."),
        click.option("--generate-password", is_flag=True, help="Draw a password and print it."),
        click.option("--password-stdin", is_flag=True, help="Read the password from standard input."),
    ):
        command = option(command)
    return command


def given_password(password_stdin: bool, generate_password: bool) -> tuple[str, bool]:
    """Return the password and whether it was drawn. Ends the program unless exactly one way was chosen."""
    if password_stdin == generate_password:
        raise click.UsageError("give exactly one of --password-stdin and --generate-password")
    if generate_password:
        from dragoman.core.ports import SystemRandom

        return generated(SystemRandom()), True
    return _read(), False


def _read() -> str:
    """Read one password: without echo from a terminal, else all that comes, less one line break at its end."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        text = sys.stdin.buffer.read(64 * 1024).decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError("the password on standard input is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError("there is no password on standard input")
    return text
