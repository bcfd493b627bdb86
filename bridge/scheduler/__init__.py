"""Which request goes to which backend, and when. Pure, time is passed in."""
