"""What one subscriber gets next: credit, the latest slot, the lossless window. Pure, time is passed in."""
