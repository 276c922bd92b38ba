"""Checks of single options."""

from __future__ import annotations

from ropewalk.errors import UserError


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """UserError when an option has a value that it does not know."""
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}, got '{value}'.")
