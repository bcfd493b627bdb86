"""Pixel buffers with owners, the decode pool, and payloads made once for all who want them."""
