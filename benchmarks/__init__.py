"""Where the time goes: one command that measures each goal and prints both its sides: `python -m benchmarks -h`."""
