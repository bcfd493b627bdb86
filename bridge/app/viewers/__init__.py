"""Who gets the frames of which stream, in which form, how fast, and through which memory."""
