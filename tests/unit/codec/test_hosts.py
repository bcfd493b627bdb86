import pytest

from bridge.codec.hosts import NEXT_ADDRESS_AFTER_S, next_address_after


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%3", "10.0.0.1"])
def test_a_literal_address_has_no_next(host):
    assert next_address_after(host) is None


@pytest.mark.parametrize("host", ["localhost", "words.example", "", "127.0.0.1.example", "1.2.3"])
def test_a_name_may_have_several(host):
    assert next_address_after(host) == NEXT_ADDRESS_AFTER_S
