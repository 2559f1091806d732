"""The front door for people: the command `dp-assets`."""

from dp_assets.cli.commands import main

__all__ = ["main"]
