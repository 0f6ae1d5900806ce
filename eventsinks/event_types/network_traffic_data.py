"""The fields of a flow, as NetBird's API names them (GET /api/events/network-traffic)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from eventsinks.event_types.documents import Id, IndexedText, LongText

EndpointType = Literal["UNKNOWN", "PEER", "HOST_RESOURCE", "SUBNET_RESOURCE", "DOMAIN_RESOURCE", "ROUTE"]
Unsigned64 = Annotated[int, Field(ge=0, lt=2**64)]


class Read(BaseModel):
    """A part of a flow that is checked strictly. Unknown keys stay in the event."""

    model_config = ConfigDict(extra="ignore", strict=True)


class GeoPlace(Read):
    """Where an endpoint is."""

    city_name: LongText | None = Field(None, description="the city")
    country_code: LongText | None = Field(None, description="the code of the country in ISO 3166-1, such as `DE`")


class Endpoint(Read):
    """One of the two ends of a flow."""

    id: IndexedText | None = Field(None, description="the id of the peer or the resource")
    type: Literal["UNKNOWN", "PEER", "HOST_RESOURCE", "SUBNET_RESOURCE", "DOMAIN_RESOURCE", "ROUTE"] | None = (
        Field(None, description="the kind of the end")
    )
    name: LongText | None = Field(None, description="the name of the peer or the resource")
    geo_location: GeoPlace | None = Field(None, description="where the end is")
    os: LongText | None = Field(None, description="the operating system of the peer")
    address: LongText | None = Field(None, description="the address with its port, such as `100.64.0.10:443`")
    dns_label: LongText | None = Field(None, description="the name of the peer in DNS")


class User(Read):
    """The user whose traffic it is."""

    id: IndexedText | None = Field(None, description="the id of the user")
    email: LongText | None = Field(None, description="the email address of the user")
    name: LongText | None = Field(None, description="the name of the user")


class Policy(Read):
    """The policy that allowed the flow or dropped it."""

    id: LongText | None = Field(None, description="the id of the policy")
    name: LongText | None = Field(None, description="the name of the policy")


class Icmp(Read):
    """The type and the code of an ICMP packet."""

    type: Annotated[int, Field(ge=0, le=255)] | None = Field(None, description="the type of the ICMP packet")
    code: Annotated[int, Field(ge=0, le=255)] | None = Field(None, description="the code of the ICMP packet")


class Happening(Read):
    """What happened to the flow, and when."""

    type: Literal["TYPE_UNKNOWN", "TYPE_START", "TYPE_END", "TYPE_DROP"] = Field(
        description="whether the flow started, ended or was dropped"
    )
    timestamp: str = Field(description="when it happened, in RFC 3339")


class NetworkTrafficData(Read):
    """The fields of a flow that are checked. Unknown keys stay in the event."""

    id: Id | None = Field(None, description="the id of the event; the service makes one if it is absent")
    flow_id: str = Field(
        min_length=1, max_length=255, description="the id of the flow; several events may have it"
    )
    reporter_id: IndexedText | None = Field(None, description="the id of the peer that reported the flow")
    source: Endpoint = Field(description="the end that began the flow")
    destination: Endpoint = Field(description="the end that the flow goes to")
    user: User | None = Field(None, description="the user whose traffic it is")
    policy: Policy | None = Field(None, description="the policy that allowed the flow or dropped it")
    icmp: Icmp | None = Field(None, description="the type and the code of an ICMP packet")
    protocol: Annotated[int, Field(ge=0, le=255)] = Field(
        description="the number of the protocol at IANA, such as 6 for TCP"
    )
    direction: Literal["INGRESS", "EGRESS", "DIRECTION_UNKNOWN"] | None = Field(
        None, description="the direction of the flow, as its reporter sees it"
    )
    connection_type: Literal["P2P", "ROUTED"] | None = Field(
        None, description="`P2P` if both ends are peers, else `ROUTED`"
    )
    rx_bytes: Unsigned64 | None = Field(None, description="the number of bytes that the reporter received")
    rx_packets: Unsigned64 | None = Field(None, description="the number of packets that the reporter received")
    tx_bytes: Unsigned64 | None = Field(None, description="the number of bytes that the reporter sent")
    tx_packets: Unsigned64 | None = Field(None, description="the number of packets that the reporter sent")
    num_of_starts: Unsigned64 | None = Field(None, description="how often the flow started within the window")
    num_of_ends: Unsigned64 | None = Field(None, description="how often the flow ended within the window")
    num_of_drops: Unsigned64 | None = Field(None, description="how often the flow was dropped within the window")
    window_start: str | None = Field(None, description="when the window of the report begins, in RFC 3339")
    window_end: str | None = Field(None, description="when the window of the report ends, in RFC 3339")
    receive_timestamp: str | None = Field(None, description="when NetBird received the report, in RFC 3339")
    events: list[Happening] | None = Field(
        None, max_length=10_000, fail_fast=True, description="what happened to the flow, at most 10,000 entries"
    )
