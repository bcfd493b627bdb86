"""What tells one version of a workflow from another: a digest of its graph and binding, whatever their layout."""

from __future__ import annotations

import hashlib
import json
import tomllib


def workflow_digest(workflow_json: bytes, binding_toml: bytes | None) -> str:
    """Give 64 hex digits of two files that were read before: SHA-256 of both as JSON with sorted keys.

    Order of keys, white space and comments count for nothing; nodes, links, values, titles and the binding do.
    """
    binding = {} if binding_toml is None else tomllib.loads(binding_toml.decode("utf-8-sig"))
    both = [json.loads(workflow_json), binding]
    return hashlib.sha256(json.dumps(both, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()
