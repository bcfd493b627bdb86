"""From a backend's pictures to what a stream shows: sets, previews, and what is shown instead of one."""
