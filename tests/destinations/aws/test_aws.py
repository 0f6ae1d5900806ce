"""Accounts of AWS: the tenant's keys in either spelling, roles, and nothing of this machine's."""

import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, Endpoints, Temporary
from eventsinks.destinations.firehose import FirehoseConfig
from tests.destinations.examples import AT, make_batch, make_type
from tests.helpers.receiver import Receiver, answer

ROLE = {"role_arn": "arn:aws:iam::111122223333:role/eventsinks", "external_id": "acme-4711"}
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYacmeacme"
BASE = {"stream_name": "s", "region": "eu-central-1"}
KEYS = {"access_key": "AKIAFIRST", "secret_key": SECRET}


def config(**given):
    return FirehoseConfig.model_validate({**BASE, **given})


@pytest.mark.parametrize("access", ["access_key", "access_key_id"])
@pytest.mark.parametrize("secret", ["secret_key", "secret_access_key"])
def test_either_spelling_of_the_keys_is_taken_and_given_back(access, secret):
    given = config(**{access: "AKIAFIRST", secret: SECRET})
    assert given.dump_masked() == {**BASE, access: "AKIAFIRST", secret: "****"}
    assert (given.own_keys.access_key, given.own_keys.secret_key) == ("AKIAFIRST", SECRET)
    assert SECRET not in repr(given.own_keys)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"access_key": "AKIA"},
        {"secret_key": "s"},
        {**KEYS, "access_key_id": "AKIA"},
        {**KEYS, "secret_access_key": "s"},
        {**KEYS, "secret_key": "****"},
        {**KEYS, "secret_key": ""},
        {**KEYS, "secret_key": "pasted \n"},
        {**KEYS, "access_key": "AKIA/\r\nX: y"},
        {**KEYS, "external_id": "x1"},
        {**KEYS, "role_arn": "arn:aws:iam::1:user/x"},
    ],
)
def test_keys_that_are_none_are_refused_and_not_repeated(keys):
    with pytest.raises(ValidationError) as caught:
        config(**keys)
    assert SECRET not in str(caught.value)


def test_a_key_in_its_other_spelling_takes_the_place_of_the_first():
    changed = config(**KEYS).apply_changes({"access_key_id": "AKIASECOND", "secret_access_key": "new"})
    assert changed.dump_revealed() == {**BASE, "access_key_id": "AKIASECOND", "secret_access_key": "new"}
    same = config(**KEYS).apply_changes({"access_key_id": "AKIAFIRST", "secret_access_key": "****"})
    assert same.own_keys == config(**KEYS).own_keys


def lend(got):
    if got.path == "/" and b"Action=AssumeRole" in got.body:
        return answer(
            body=b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIALENT</AccessKeyId>"
            b"<SecretAccessKey>lent</SecretAccessKey><SessionToken>token-1</SessionToken>"
            b"<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )
    return answer(body=b"")


def s3_config(**given):
    return {"bucket_name": "acme", "region": "eu-central-1", **KEYS, **given}


@pytest.mark.guarantee("S21")
def test_a_role_is_assumed_once_with_the_tenants_keys_and_its_external_id():
    with Receiver(lend) as receiver:
        destination = make_type("s3", s3_config(**ROLE), endpoints=Endpoints(aws=receiver.url("")))
        for _ in range(2):
            destination.send(make_batch(), AT)
    assumed, *written = receiver.got
    assert b"ExternalId=acme-4711" in assumed.body
    assert "Credential=AKIAFIRST/" in assumed.header("authorization")
    for got in written:
        assert "Credential=ASIALENT/" in got.header("authorization")
        assert got.header("x-amz-security-token") == "token-1"


def test_a_role_that_ran_out_is_assumed_again():
    expired = answer(400, [], b"<Error><Code>ExpiredToken</Code><Message>m</Message></Error>")
    with Receiver(lambda got: expired if got.method == "PUT" else lend(got)) as receiver:
        destination = make_type("s3", s3_config(**ROLE), endpoints=Endpoints(aws=receiver.url("")))
        for _ in range(2):
            with pytest.raises(Temporary, match="ExpiredToken"):
                destination.send(make_batch(), AT)
    assert [got.method for got in receiver.got] == ["POST", "PUT"] * 2


def test_a_role_that_may_not_be_assumed_parks_the_destination():
    denied = (
        b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>sts:AssumeRole</Message></Error></ErrorResponse>"
    )
    with Receiver(lambda got: answer(403, [], denied)) as receiver:
        destination = make_type("s3", s3_config(**ROLE), endpoints=Endpoints(aws=receiver.url("")))
        with pytest.raises(DestinationGone, match="sts:AssumeRole"):
            destination.send(make_batch(), AT)


@pytest.mark.parametrize("body", [b"", b"<AssumeRoleResponse/>", b"<html>"])
def test_an_answer_without_credentials_is_tried_again(body):
    with Receiver(lambda got: answer(body=body)) as receiver:
        destination = make_type("s3", s3_config(**ROLE), endpoints=Endpoints(aws=receiver.url("")))
        with pytest.raises(Temporary, match="bad_response"):
            destination.send(make_batch(), AT)


@pytest.mark.guarantee("S21")
def test_nothing_of_the_machines_own_is_used(monkeypatch, tmp_path):
    elsewhere = "http://127.0.0.1:1"
    (tmp_path / "config").write_text("[profile x]\nregion = us-east-1\nrole_arn = arn:aws:iam::1:role/x\n")
    for name, value in {
        "AWS_PROFILE": "x",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "AKIAMACHINE",
        "AWS_SECRET_ACCESS_KEY": "machine",
        "AWS_SESSION_TOKEN": "machine",
        "AWS_ENDPOINT_URL": elsewhere,
        "AWS_ENDPOINT_URL_S3": elsewhere,
        "HTTP_PROXY": elsewhere,
        "http_proxy": elsewhere,
        "ALL_PROXY": elsewhere,
    }.items():
        monkeypatch.setenv(name, value)
    with Receiver(lend) as receiver:
        make_type("s3", s3_config(), endpoints=Endpoints(aws=receiver.url(""))).send(make_batch(), AT)
    (got,) = receiver.got
    assert "Credential=AKIAFIRST/" in got.header("authorization")
    assert "eu-central-1" in got.header("authorization")
    assert not [name for name, _ in got.headers if name.lower() == "x-amz-security-token"]
