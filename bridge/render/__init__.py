"""A shot rendered to files: frame numbers, tracks, plates, writers, manifest.

It stands on the client of the engine link, as any other program would; `texbridge render` is its command line.
"""
