"""The configuration: TOML, environment and command line, checked once into one frozen record."""
