import json

import pytest

from bridge.workflow.lookalikes import FileForm, file_form

API = {"1": {"class_type": "EmptyImage", "inputs": {}}, "2": {"class_type": "PreviewImage", "inputs": {}}}
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}


@pytest.mark.parametrize(
    ("document", "form"),
    [
        (API, FileForm.API),
        (UI, FileForm.UI),
        ({}, None),
        ({"1": {"class_type": "EmptyImage"}}, None),
        ({"KSampler": {"input": {}, "name": "KSampler"}}, None),  # object_info
        ({"nodes": 7, "links": []}, None),
        ({"prompt": API}, None),
        ([API], None),
        ("text", None),
    ],
)
def test_forms(document, form):
    assert file_form(json.dumps(document).encode()) is form


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"1": NaN}', b"\x89PNG\r\n"])
def test_whatever_the_bytes_are(data):
    assert file_form(data) is None
