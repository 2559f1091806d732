"""`python -m dp_assets.cli`."""

from dp_assets.cli.commands import main

main()
