"""Datadog: where logs go can be said in several ways, and a place that is none is refused."""

import pytest
from datadog_api_client import ApiClient
from datadog_api_client.configuration import Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from pydantic import ValidationError

from eventsinks.destinations.datadog import SITES, DatadogConfig
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.examples import AT, make_audit, make_type
from tests.destinations.test_datadog import EXAMPLE, KEY


def config(**changes):
    return DatadogConfig.model_validate({**KEY, **changes}, context={"guard": AddressGuard()})


def test_we_know_every_site_that_datadogs_client_knows():
    servers = LogsApi(ApiClient(Configuration()))._submit_log_endpoint.settings["servers"]
    known = servers[0]["variables"]["site"]["enum_values"]
    assert set(known) == set(SITES)


@pytest.mark.parametrize(
    ("where", "host"),
    [
        ({"site": "datadoghq.eu"}, "http-intake.logs.datadoghq.eu"),
        ({"site": "datadoghq.com", "region": "us-east-1"}, "http-intake.logs.datadoghq.com"),
        ({"region": "us5"}, "http-intake.logs.us5.datadoghq.com"),
        ({"region": "eu"}, "http-intake.logs.datadoghq.eu"),
        ({"api_url": "https://logs.acme.example/api/v2/logs"}, "logs.acme.example"),
    ],
)
def test_where_can_be_said_in_several_ways(where, host):
    destination = make_type("datadog", {**KEY, **where})
    assert destination.target() == host
    assert destination.build([make_audit()], AT).url == f"https://{host}/api/v2/logs"
    assert config(**where).dump_masked() == {"api_key": "****", **where}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"site": ""},
        {"site": "evil.example"},
        {"region": "us-east-1"},
        {"api_url": "https://http-intake.logs.datadoghq.eu"},
        {"api_url": "https://127.0.0.1/api/v2/logs"},
        {"api_url": "no url"},
    ],
)
def test_a_place_that_is_none_is_refused(where):
    with pytest.raises(ValidationError):
        config(**where)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "é", "****", "x" * 201])
def test_a_key_that_a_header_can_not_hold_is_refused(key):
    with pytest.raises(ValidationError):
        config(api_key=key, site="datadoghq.eu")


def test_a_new_place_takes_the_place_of_the_old():
    by_url = config(api_url=EXAMPLE["api_url"])
    by_site = by_url.apply_changes({"site": "us3.datadoghq.com", **KEY})
    assert by_site.dump_revealed() == {**KEY, "site": "us3.datadoghq.com"}
    assert by_site.apply_changes({"api_url": EXAMPLE["api_url"], **KEY}) == by_url
    assert by_site.apply_changes({"service": "x"}).site == "us3.datadoghq.com"
    assert by_site.apply_changes({"region": "eu", **KEY}).url == EXAMPLE["api_url"]
