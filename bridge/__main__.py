"""`python -m bridge`: the `texbridge` command."""

from bridge.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
