"""Which addresses may be dialled: the internet, and what the operator named. Everything else is refused."""

import ipaddress

import pytest

from eventsinks.lib.net.address_ranges import DENIED, METADATA
from eventsinks.lib.net.addresses import AddressGuard, find_own_addresses, parse_url, show_peer

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
    "168.63.129.16",
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
    "1::1",
    "200::1",
    "400::1",
    "1fff:ffff::1",
    "4000::1",
    "8000::1",
    "e000::1",
    "fbff::1",
    "fe00::1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::168.63.129.16",
    "::ffff:168.63.129.16",
    "64:ff9b:1:a00:0:100::",
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
    "fd20:ce::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff00::1",
    "ff02::1",
]

# 2000::/3, but IPv4 inside: ISATAP, and metadata behind a translator of any prefix.
TUNNELLED = [
    "2a00:1450:4001:1:0:5efe:10.0.0.1",
    "2a00:1450:4001:1:200:5efe:127.0.0.1",
    "2a00:1450:4001:1:0:5efe:169.254.169.254",
    "2a00:1450:64::169.254.169.254",
    "2a00:1450:64::168.63.129.16",
    "2a00:1450:64::100.100.100.200",
    "2a00:1450:64:ff00:a9:fea9:fe00::",
    "2a00:1450:6464:a9fe:a9:fe00::",
    "2a00:1450:a9fe:a9fe::",
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
    "168.63.129.15",
    "168.63.129.17",
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
    "2a00:1450:4001:1:0:5efe:8.8.8.8",
    "2a00:1450:64::10.0.0.1",
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
    "http://metadata/computeMetadata/v1/",
    "http://metadata.goog/",
    "http://instance-data/latest/",
    "http://168.63.129.16/metadata",
    "http://0xa83f8110/",
    "http://[::ffff:a83f:8110]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[::a9fe:a9fe]/",
    "http://[4000::1]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://192.0.0.192/",
    "http://127.0.0.1:443/",
    "http://127.0.0.1:0080/",
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
    "http://a:80:80/",
    "http://127.0.0.1:80:443/",
    "http://[::ffff:127.0.0.1%25lo]/",
    "http://example.com:８０/",
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


@pytest.mark.guarantee("S2")
def test_an_internal_address_is_refused(guard):
    assert not [address for address in (*INTERNAL, *TUNNELLED) if guard.permits(address, "example.com", 443)]


def test_an_address_of_the_internet_is_permitted(guard):
    assert not [address for address in PUBLIC if not guard.permits(address, "example.com", 443)]


@pytest.mark.guarantee("S2")
def test_the_first_and_last_address_of_each_denied_range_are_refused(guard):
    edges = [str(address) for network in DENIED for address in (network[0], network[-1])]
    assert not [address for address in edges if guard.permits(address)]


def test_what_is_not_an_address_is_refused_when_dialled(guard):
    assert not [text for text in NOT_ADDRESSES if guard.permits(text, text, 80)]


@pytest.mark.guarantee("S3")
def test_a_url_that_names_an_internal_place_is_refused_however_it_is_spelt(guard, subtests):
    for url in DISGUISED:
        with subtests.test(url), pytest.raises(ValueError, match="internal address"):
            guard.check_url(url)


@pytest.mark.guarantee("S3")
def test_a_url_that_parsers_could_read_differently_is_refused(guard, subtests):
    for url in MALFORMED:
        with subtests.test(url):
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


@pytest.mark.guarantee("S2")
def test_this_machines_own_addresses_are_refused_even_if_public(monkeypatch):
    own = ipaddress.ip_address("93.184.216.34")
    assert AddressGuard().permits(str(own))
    monkeypatch.setattr("eventsinks.lib.net.addresses.find_own_addresses", lambda: frozenset({own}))
    assert not AddressGuard().permits(str(own))


def test_this_machines_own_addresses_are_found():
    assert ipaddress.ip_address("127.0.0.1") in find_own_addresses()


@pytest.mark.guarantee("S4")
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


@pytest.mark.guarantee("S4")
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


WIDE = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "168.63.129.0/24", "192.0.0.0/24", "fd00::/8", "100.64.0.0/10"]
FORMS = {
    "mapped": "::ffff:{}",
    "translated": "::ffff:0:{}",
    "compatible": "::{}",
    "NAT64": "64:ff9b::{}",
    "local NAT64": "64:ff9b:1::{}",
    "NAT64 of a provider": "2a00:1450:64::{}",
    "ISATAP": "fd00:1::5efe:{}",
}
IPV4_METADATA = sorted(str(ip) for ip in METADATA if ip.version == 4)


def six_to_four(ip):
    return ipaddress.IPv6Address((0x2002 << 112) | (int(ipaddress.IPv4Address(ip)) << 80) | 1)


def teredo(server, client):
    flipped = int(ipaddress.IPv4Address(client)) ^ 0xFFFFFFFF
    return ipaddress.IPv6Address((0x20010000 << 96) | (int(ipaddress.IPv4Address(server)) << 64) | flipped)


@pytest.mark.guarantee("S4")
def test_metadata_is_never_let_through_by_a_range():
    for address in map(str, METADATA):
        pair = f"[{address}]:80" if ":" in address else f"{address}:80"
        assert not AddressGuard(WIDE).permits(address, "example.com", 80), address
        assert AddressGuard([address]).permits(address), address
        assert AddressGuard([pair]).permits(address, "a.example", 80), address


@pytest.mark.parametrize("address", ["169.254.0.1", "169.254.169.250", "fe80::1", "fe80::1%eth0", "fd00:ec2::1"])
def test_where_other_clouds_keep_metadata_is_named_one_by_one_too(address):
    assert not AddressGuard([*WIDE, "fe80::/10"]).permits(address)
    assert AddressGuard([address.partition("%")[0]]).permits(address)


@pytest.mark.guarantee("S4")
def test_metadata_inside_another_address_is_not_let_through_by_a_range():
    wide = AddressGuard([*WIDE, "64:ff9b::/96", "64:ff9b:1::/48", "::/96"])
    inside = [(name, form.format(address)) for name, form in FORMS.items() for address in IPV4_METADATA]
    assert not [(name, address) for name, address in inside if wide.permits(address)]


def test_metadata_inside_a_tunnel_is_not_let_through_by_a_range():
    wide = AddressGuard([*WIDE, "2002::/16", "2001::/32"])
    for address in IPV4_METADATA:
        for tunnel in (six_to_four(address), teredo(address, "8.8.8.8"), teredo("8.8.8.8", address)):
            assert not wide.permits(str(tunnel)), address


def test_a_name_that_is_allowed_with_its_port_does_not_lead_to_metadata():
    guard = AddressGuard(["siem.internal:9200", "metadata.google.internal:80"])
    assert not guard.permits("169.254.169.254", "siem.internal", 9200)
    assert not guard.permits("169.254.169.254", "metadata.google.internal", 80)
    with pytest.raises(ValueError, match="internal"):
        guard.check_url("http://metadata.google.internal/")
    AddressGuard(["169.254.169.254"]).check_url("http://metadata.google.internal/")


@pytest.mark.parametrize("form", ["64:ff9b::{}", "64:ff9b:1::{}", "::ffff:0:{}"])
def test_a_translator_that_is_allowed_leads_to_the_internet_and_nowhere_inside(form):
    translating = AddressGuard(["64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96"])
    assert translating.permits(form.format("8.8.8.8"))
    assert not translating.permits(form.format("10.0.0.1"))
    assert not translating.permits(form.format("127.0.0.1"))
    both = AddressGuard(["64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "10.0.0.0/8"])
    assert both.permits(form.format("10.0.0.1"))


def test_a_local_translator_is_read_in_every_way_that_an_address_can_be_written_for_it():
    translating = AddressGuard(["64:ff9b:1::/48"])
    assert translating.permits("64:ff9b:1:808:8:800::")  # 8.8.8.8 after 48 bits
    for inside in ("64:ff9b:1:a00:0:100::", "64:ff9b:1:a:0:1::", "64:ff9b:1:0:a:0:100::", "64:ff9b:1::"):
        assert not translating.permits(inside)


def test_tunnels_that_are_allowed_lead_nowhere_inside():
    tunnels = AddressGuard(["2002::/16", "2001::/32"])
    assert tunnels.permits(str(six_to_four("8.8.8.8")))
    assert not tunnels.permits(str(six_to_four("192.168.0.1")))
    assert tunnels.permits(str(teredo("8.8.8.8", "9.9.9.9")))
    assert not tunnels.permits(str(teredo("8.8.8.8", "10.0.0.1")))
    assert not tunnels.permits(str(teredo("10.0.0.1", "8.8.8.8")))


def test_loopback_is_no_address_inside_another():
    assert AddressGuard(["::/0"]).permits("::1")
    assert AddressGuard(["::1"]).permits("::1")
    assert not AddressGuard(["::/0"]).permits("::127.0.0.1")


def test_an_entry_that_writes_ipv4_as_ipv6_means_the_ipv4():
    assert AddressGuard(["::ffff:10.0.0.0/104"]).permits("10.1.2.3")
    assert AddressGuard(["::ffff:10.0.0.5"]).permits("10.0.0.5")
    assert AddressGuard(["[::ffff:10.0.0.5]:8088"]).permits("10.0.0.5", "10.0.0.5", 8088)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("siem.internal:9200", "http://SIEM.internal.:9200/"),
        ("SIEM.internal.:9200", "http://siem.internal:9200/"),
        ("bücher.internal:80", "http://xn--bcher-kva.internal/"),
        ("[FD00:0::5]:443", "https://[fd00::5]/"),
        ("127.1:9000", "http://127.0.0.1:9000/"),
    ],
)
def test_a_pair_is_the_same_however_it_is_spelt(entry, url):
    guard, parsed = AddressGuard([entry]), parse_url(url)
    guard.check_url(url)
    address = parsed.host.strip("[]") if parsed.host[0] in "[1" else "10.1.1.1"
    assert guard.refusal(parsed.scheme, parsed.host, parsed.port, address) == ""


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "nonsense", "host:port", ":80", "10.0.0.0/8/8", "a/b:80", "h:99999"]
)
def test_an_entry_that_means_nothing_is_refused(entry):
    with pytest.raises(ValueError, match="neither a network"):
        AddressGuard([entry])


# --- What a URL's scheme and port say --------------------------------------------------------------


@pytest.mark.parametrize("port", [0, 1, 22, 25, 53, 110, 143, 445, 465, 587, 993, 1433, 2375, 3306, 5432, 6379])
def test_a_port_of_what_is_no_receiver_is_refused(guard, port):
    assert guard.refusal("https", "example.com", port, "8.8.8.8") == f"port {port} may not be dialled"
    with pytest.raises(ValueError, match=f"^port {port} may not be dialled$"):
        guard.check_url(f"https://example.com:{port}/")


@pytest.mark.parametrize("port", [80, 443, 8000, 8080, 8088, 8443, 9200, 50000, 65535])
def test_a_port_of_receivers_is_permitted(guard, port):
    assert guard.refusal("https", "example.com", port, "8.8.8.8") == ""
    guard.check_url(f"https://example.com:{port}/")


def test_a_denied_port_is_dialled_where_a_pair_names_it():
    guard = AddressGuard(["siem.example:6000", "10.0.0.5:25", "10.0.0.0/8"])
    assert guard.refusal("http", "siem.example", 6000, "8.8.8.8") == ""
    assert guard.refusal("http", "other.example", 6000, "8.8.8.8") != ""
    assert guard.refusal("http", "10.0.0.5", 25, "10.0.0.5") == ""
    assert guard.refusal("http", "10.0.0.6", 25, "10.0.0.6") == "port 25 may not be dialled"
    guard.check_url("http://siem.example:6000/")
    guard.check_url("http://10.0.0.5:25/")


def test_the_denied_ports_are_the_operators_to_choose():
    guard = AddressGuard(denied_ports=["8080-8082", " 443 ", ""])
    assert [port for port in (22, 443, 8079, 8080, 8082, 8083) if guard.refusal("http", "a.example", port)] == [
        443,
        8080,
        8082,
    ]
    assert not AddressGuard(denied_ports=[]).denied_ports


@pytest.mark.parametrize("entry", ["ssh", "-1", "22-", "30-20", "65536", "1-2-3", "２２-x"])
def test_an_entry_that_is_no_port_is_refused(entry):
    with pytest.raises(ValueError, match="neither a port"):
        AddressGuard(denied_ports=[entry])


def test_where_only_https_is_allowed_nothing_is_sent_in_clear():
    strict = AddressGuard(["10.0.0.5:8088"], https_only=True)
    for url in ("http://example.com/", "HTTP://example.com:443/", "http://10.0.0.5:8088/"):
        with pytest.raises(ValueError, match=r"^only https:// is allowed here$"):
            strict.check_url(url)
    strict.check_url("https://example.com/")
    assert strict.refusal("http", "example.com", 80, "8.8.8.8") == "only https:// is allowed here"


# --- What a tenant is told -------------------------------------------------------------------------


@pytest.mark.guarantee("S8")
@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "fd00::5", "::1"])
def test_a_refusal_does_not_tell_where_a_name_leads(guard, address):
    assert guard.refusal("https", "db.corp.example", 443, address) == (
        "db.corp.example has an internal address, which may not be dialled"
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [("8.8.8.8", "8.8.8.8"), ("2606:4700::1", "2606:4700::1"), ("10.1.2.3", ""), ("::1", ""), ("", ""), ("x", "")],
)
def test_only_an_address_of_the_internet_is_shown_to_a_tenant(address, shown):
    assert show_peer(address) == shown
