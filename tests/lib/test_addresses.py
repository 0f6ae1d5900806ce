"""Which addresses may be dialled: the internet, and what the operator named. Everything else is refused."""

import ipaddress

import pytest

from eventsinks.lib.addresses import DENIED, METADATA, AddressGuard, own_addresses, parse_url

INTERNAL = [
    "0.0.0.0",
    "0.1.2.3",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:7f00:1",
    "::FFFF:192.168.1.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c:0:0:80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff00::1",
    "ff02::1",
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "3ffe::1",
]

NOT_ADDRESSES = ["", "localhost", "example.com", "127.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "08.8.8.8"]

# Each names 127.0.0.1, 10.0.0.1, or the metadata service, in a way that some parser takes for something else.
DISGUISED = [
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://0X7F.0.0.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://00000000177.1/",
    "http://10.1/",
    "http://0xa9fea9fe/",
    "http://2852039166/latest/meta-data/",
    "http://１２７.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%2e/",
    "HTTP://127.0.0.1/",
    "http:///127.0.0.1/",
    "http:////127.0.0.1/",
    "http://127.0.0.1:8080/",
    "https://127.0.0.1#/",
    "https://127.0.0.1?/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::FFFF:169.254.169.254]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://ｌocalhost/",
    "http://api.localhost:8080/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
]

MALFORMED = [
    "",
    "example.com",
    "//example.com/",
    "/etc/passwd",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "http:127.0.0.1",
    "http:/127.0.0.1",
    "http://",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://a:1:2/",
    "http://example.com:99999/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://example.com#@127.0.0.1/",
    "http://example.com?@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http:\\\\127.0.0.1\\",
    "http://exam\tple.com/",
    "http://exam\nple.com/",
    "http://example.com/\r\nHost: evil",
    "http://exam ple.com/",
    " http://example.com/",
    "http://example.com/\x00",
    "http://example.com/\x7f",
    "http://127.0.0.1\u3000/",
]


@pytest.fixture
def guard():
    return AddressGuard()


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_refused(guard, address):
    assert not guard.permits(address, "example.com", 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_permitted(guard, address):
    assert guard.permits(address, "example.com", 443)


@pytest.mark.parametrize("network", DENIED, ids=str)
def test_the_first_and_last_address_of_each_denied_range_are_refused(guard, network):
    assert not guard.permits(str(network[0]))
    assert not guard.permits(str(network[-1]))


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_not_an_address_is_refused_when_dialled(guard, text):
    assert not guard.permits(text, text, 80)


@pytest.mark.parametrize("url", DISGUISED)
def test_a_url_that_names_an_internal_place_is_refused_however_it_is_spelt(guard, url):
    with pytest.raises(ValueError, match="internal address"):
        guard.check_url(url)


@pytest.mark.parametrize("url", MALFORMED)
def test_a_url_that_parsers_could_read_differently_is_refused(guard, url):
    with pytest.raises(ValueError, match="URL"):
        parse_url(url)
    with pytest.raises(ValueError, match="URL"):
        guard.check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com:8443/a?b=c#d", "http://8.8.8.8/", "https://münchen.example/@me"],
)
def test_a_public_url_is_taken(guard, url):
    guard.check_url(url)


def test_this_machines_own_addresses_are_refused_even_if_public(monkeypatch):
    own = ipaddress.ip_address("93.184.216.34")
    assert AddressGuard().permits(str(own))
    monkeypatch.setattr("eventsinks.lib.addresses.own_addresses", lambda: frozenset({own}))
    assert not AddressGuard().permits(str(own))


def test_this_machines_own_addresses_are_found():
    assert ipaddress.ip_address("127.0.0.1") in own_addresses()


def test_an_allowed_network_opens_itself_and_nothing_beside():
    guard = AddressGuard(["10.2.0.0/16", " 192.168.7.7 ", "fd12::/64", ""])
    assert guard.permits("10.2.3.4")
    assert guard.permits("::ffff:10.2.3.4")
    assert guard.permits("192.168.7.7")
    assert guard.permits("fd12::5")
    assert not guard.permits("10.3.0.1")
    assert not guard.permits("192.168.7.8")
    assert not guard.permits("fd12:0:0:1::5")
    guard.check_url("http://10.2.3.4/")


def test_an_allowed_pair_opens_one_port_of_one_host():
    guard = AddressGuard(["Siem.Internal:9200", "10.0.0.5:8088", "[fd00::5]:443"])
    assert guard.permits("10.1.1.1", "siem.internal", 9200)
    assert not guard.permits("10.1.1.1", "siem.internal", 22)
    assert not guard.permits("10.1.1.1", "siem.internal.evil.example", 9200)
    assert guard.permits("10.0.0.5", "10.0.0.5", 8088)
    assert not guard.permits("10.0.0.5", "10.0.0.5", 80)
    assert guard.permits("fd00::5", "[fd00::5]", 443)
    assert not guard.permits("fd00::5", "[fd00::5]", 80)
    guard.check_url("http://10.0.0.5:8088/services/collector")
    with pytest.raises(ValueError, match="internal"):
        guard.check_url("http://10.0.0.5/")


def test_a_local_name_is_taken_where_it_is_allowed_with_its_port():
    guard = AddressGuard(["localhost:8080"])
    guard.check_url("http://localhost:8080/")
    with pytest.raises(ValueError, match="internal"):
        guard.check_url("http://localhost:8081/")


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_never_let_through_by_a_range(address):
    wide = AddressGuard(["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8", "100.64.0.0/10"])
    assert not wide.permits(address, "example.com", 80)
    assert AddressGuard([address]).permits(address)


def test_metadata_inside_a_mapped_address_is_not_let_through_by_a_range():
    assert not AddressGuard(["169.254.0.0/16"]).permits("::ffff:169.254.169.254")


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "nonsense", "host:port", ":80", "10.0.0.0/8/8"])
def test_an_entry_that_means_nothing_is_refused(entry):
    with pytest.raises(ValueError, match="neither a network"):
        AddressGuard([entry])
