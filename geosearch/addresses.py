"""Which machines a URL from outside may reach: public ones, and those that a setting lists.

Pure rules on addresses; nothing here resolves or connects.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

from geosearch.errors import ConfigError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_NEVER = (
    # Older Pythons take some of these for public.
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("100::/64"),
    ipaddress.IPv6Network("2001::/23"),
    ipaddress.IPv6Network("3fff::/20"),
    ipaddress.IPv6Network("5f00::/16"),
)
_CLOUD_HOSTS = frozenset({ipaddress.IPv4Address("168.63.129.16")})
"""Public, but where a cloud's machines find its keys (Azure); the others' are link-local."""


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """Hosts and networks that may be reached although they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowedAddresses:
        """From names, addresses and networks with commas between.

        Raises:
            ConfigError: an entry is none of these.
        """
        hosts: set[str] = set()
        networks: list[Network] = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                name = entry.rstrip(".").lower()
                if not _is_host(name):
                    raise ConfigError(
                        f"{entry!r} is no host, address or network; write them with commas "
                        "between, as in photos.internal,10.2.0.0/16"
                    ) from None
                hosts.add(name)
        return cls(frozenset(hosts), tuple(networks))

    def allow(self, host: str, address: str) -> bool:
        """Whether `address`, which `host` resolved to, may be connected to."""
        if host.rstrip(".").lower() in self.hosts:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return is_public(found) or any(found in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet at large, also where another one is wrapped in it.

    Loopback, private, shared, link-local (and with it the clouds' metadata), multicast, reserved
    and unspecified addresses do not.
    """
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is not None:
            return is_public(wrapped)
        if address.is_site_local:
            return False
    return not (
        address in _CLOUD_HOSTS
        or any(address in network for network in _NEVER)
        or not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    )


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _TEREDO:
        return ipaddress.IPv4Address(0)  # tunnelled by who knows whom: never public
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_host(name: str) -> bool:
    labels = name.split(".")
    return (
        len(name) <= 253
        and all(
            0 < len(label) <= 63 and label.replace("-", "").replace("_", "").isalnum()
            for label in labels
        )
        and not labels[-1].isdigit()
    )
