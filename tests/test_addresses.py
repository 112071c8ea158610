from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.addresses import AllowedAddresses, is_public
from geosearch.errors import ConfigError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1",
        "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
        "192.0.0.192", "198.18.0.1", "192.0.2.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
        "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1", "2001:0:1234::1", "100::1",
    ],
)  # fmt: skip
def test_addresses_of_the_inside_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not AllowedAddresses().allow("photos.example.org", address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1",
     "64:ff9b::101:101", "2002:101:101::1"],
)  # fmt: skip
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@settings(deadline=None, derandomize=True)
@given(st.ip_addresses(v=4))
def test_wrapping_an_address_does_not_change_where_it_leads(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for wrapped in (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    ):
        assert is_public(wrapped) == is_public(address), wrapped


def test_listed_hosts_addresses_and_networks_are_allowed_and_nothing_else() -> None:
    allowed = AllowedAddresses.parse("Photos.Internal, 10.2.0.0/16,192.168.1.7, fd12::/32")
    assert allowed.allow("photos.internal.", "127.0.0.1")
    assert allowed.allow("other", "10.2.255.1")
    assert allowed.allow("other", "192.168.1.7")
    assert allowed.allow("other", "fd12::1")
    assert not allowed.allow("other", "10.3.0.1")
    assert not allowed.allow("other", "192.168.1.8")
    assert not allowed.allow("evil.photos.internal", "127.0.0.1")
    assert not allowed.allow("other", "no address")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "http://x", "a b", "300.1.1.1", "*.internal"])
def test_entries_that_are_neither_host_nor_network_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no host, address or network"):
        AllowedAddresses.parse(text)
