"""Bytes to values and back: pure, no I/O, no clock. Decoders raise `DecodeError` and nothing else."""
