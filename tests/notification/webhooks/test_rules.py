import ipaddress

import pytest

from notification.webhooks.model import wait_seconds
from notification.webhooks.rules import Policy, Target, allowed, read_url, signatures

OPEN = Policy(frozenset({443, 8443}))
INNER = Policy(frozenset({443}), (ipaddress.ip_network("10.12.0.0/16"),))
LOOPBACK = Policy(loopback=True)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://a.example/x?y=1", Target("https", "a.example", 443, "/x?y=1")),
        ("https://A.Example:8443", Target("https", "a.example", 8443, "/")),
        ("https://1.1.1.1/", Target("https", "1.1.1.1", 443, "/")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, "/")),
        ("http://a.example/", "url_not_https"),
        ("ftp://a.example/", "url_not_https"),
        ("https:///x", "url_malformed"),
        ("https://a b.example/", "url_malformed"),
        ("https://a.example\\@b.example/", "url_malformed"),
        ("https://例.example/", "url_malformed"),
        ("https://127.1/", "url_malformed"),
        ("https://2130706433/", "url_malformed"),
        ("https://[fe80::1%25eth0]/", "url_malformed"),
        ("https://a.example:notaport/", "url_malformed"),
        ("https://a.example/" + "x" * 2000, "url_malformed"),
        ("https://user@a.example/", "url_with_credentials"),
        ("https://user:word@a.example/", "url_with_credentials"),
        ("https://a.example/#top", "url_with_fragment"),
        ("https://a.example:22/", "port_refused"),
        ("https://a.example:0/", "port_refused"),
        ("https://127.0.0.1/", "address_refused"),
        ("https://[::ffff:10.0.0.1]/", "address_refused"),
    ],
)
def test_a_url_leads_out_by_https_and_names_nobody(url: str, found: object) -> None:
    """Checklist 1.22: the hotline's address is its own, and no way into this network."""
    assert read_url(url, OPEN) == found


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "no address",
    ],
)
def test_no_inner_address_is_reached_however_it_is_written(address: str) -> None:
    assert not allowed(address, OPEN)


@pytest.mark.parametrize(
    ("address", "policy", "may"),
    [
        ("1.1.1.1", OPEN, True),
        ("2606:4700::1111", OPEN, True),
        ("10.11.255.255", INNER, False),
        ("10.12.0.0", INNER, True),
        ("10.12.255.255", INNER, True),
        ("::ffff:10.12.0.1", INNER, True),
        ("10.13.0.0", INNER, False),
        ("127.0.0.1", INNER, False),
        ("127.0.0.1", LOOPBACK, True),
        ("::1", LOOPBACK, True),
        ("10.0.0.1", LOOPBACK, False),
    ],
)
def test_what_a_site_names_may_be_reached_and_nothing_beside_it(
    address: str, policy: Policy, may: bool
) -> None:
    assert allowed(address, policy) is may


def test_a_signature_is_that_of_the_specification() -> None:
    """The example that Standard Webhooks' own libraries are tested with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    signed = signatures([secret, secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed == f"{one} {one}"


@pytest.mark.parametrize(
    ("tries", "asked", "jitter", "seconds"),
    [(1, None, 0.5, 5), (1, None, 0, 4), (1, None, 1, 6), (2, None, 0.5, 30), (9, None, 0.5, 30),
     (1, 60, 0.5, 60), (2, 3, 0.5, 30)],
)  # fmt: skip
def test_the_next_try_waits_longer_and_never_less_than_asked(
    tries: int, asked: int | None, jitter: float, seconds: float
) -> None:
    assert wait_seconds(tries, (5, 30), asked, jitter) == pytest.approx(seconds)
