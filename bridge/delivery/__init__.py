"""What one subscriber gets next: credit and the latest slot. Pure, time is passed in."""
