"""Who is attached to what: sessions, streams, values and revisions. Pure, time is passed in."""
