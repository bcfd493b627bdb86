"""The bridge as HTTP sees it: health, readiness, metrics, pictures as JPEG."""
