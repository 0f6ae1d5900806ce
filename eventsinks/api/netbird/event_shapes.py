"""The shapes of events in requests and answers of /api."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from eventsinks.api.documents import Many
from eventsinks.event_types.audit import AuditData
from eventsinks.event_types.network_traffic_data import NetworkTrafficData
from eventsinks.event_types.proxy import ProxyData


class OpenShape(BaseModel):
    """A part of an event: the fields of NetBird, and all others that it was sent with."""

    model_config = ConfigDict(extra="allow")


class EventOut(OpenShape):
    """An event: the fields of NetBird, and all others that it was sent with."""

    id: str = Field(description="its id, its sender's or one that was made")


class AuditOut(EventOut):
    """An audit event."""

    timestamp: str = Field(description="when it happened")
    activity: str = Field(description="what happened, in words")
    activity_code: str = Field(description="what happened, as `user.login`")
    initiator_id: str = Field(description="who did it")
    initiator_name: str = Field(description="the name of who did it")
    initiator_email: str = Field(description="the email of who did it")
    target_id: str = Field(description="the id of what it was done to")
    meta: dict[str, str] = Field(description="more about it")


class ManyAudit(RootModel[list[AuditOut]]):
    """Audit events, newest first."""


class GeoPlaceOut(OpenShape):
    """The place of an end."""

    city_name: str = Field(description="the city")
    country_code: str = Field(description="the country, as ISO 3166 has it")


class EndpointOut(OpenShape):
    """One of the two ends of a flow."""

    id: str = Field(description="its id")
    type: str = Field(description="what it is, as `PEER`")
    name: str = Field(description="its name")
    geo_location: GeoPlaceOut = Field(description="where it is")
    os: str | None = Field(description="its operating system")
    address: str = Field(description="`ip:port`")
    dns_label: str | None = Field(description="its name in DNS")


class UserOut(BaseModel):
    """The user whose traffic it is."""

    id: str = Field(description="the user's id")
    email: str = Field(description="the user's email")
    name: str = Field(description="the user's name")


class PolicyOut(BaseModel):
    """The policy that allowed a flow or dropped it."""

    id: str = Field(description="the policy's id")
    name: str = Field(description="the policy's name")


class IcmpOut(BaseModel):
    """The type and the code of an ICMP packet. They are 0 for other flows."""

    type: int = Field(description="its type")
    code: int = Field(description="its code")


class HappeningOut(OpenShape):
    """What happened to a flow."""

    type: Literal["TYPE_UNKNOWN", "TYPE_START", "TYPE_END", "TYPE_DROP"] = Field(description="what it was")
    timestamp: str = Field(description="when it was")


class NetworkTrafficOut(EventOut):
    """A flow."""

    flow_id: str = Field(description="the flow")
    reporter_id: str = Field(description="the peer that reports it")
    receive_timestamp: str = Field(description="when the report came")
    window_start: str = Field(description="when the window of the report begins")
    window_end: str = Field(description="when the window of the report ends")
    source: EndpointOut = Field(description="from where")
    destination: EndpointOut = Field(description="to where")
    user: UserOut = Field(description="whose traffic it is")
    policy: PolicyOut = Field(description="the policy that allowed it or dropped it")
    icmp: IcmpOut = Field(description="the type and the code of an ICMP packet")
    protocol: int = Field(description="the number of the protocol at IANA")
    direction: Literal["INGRESS", "EGRESS", "DIRECTION_UNKNOWN"] = Field(
        description="the direction, as its reporter sees it"
    )
    connection_type: Literal["P2P", "ROUTED"] = Field(description="whether both ends are peers")
    rx_bytes: int = Field(description="bytes received")
    rx_packets: int = Field(description="packets received")
    tx_bytes: int = Field(description="bytes sent")
    tx_packets: int = Field(description="packets sent")
    num_of_starts: int = Field(description="how often it began")
    num_of_ends: int = Field(description="how often it ended")
    num_of_drops: int = Field(description="how often it was dropped")
    events: list[HappeningOut] = Field(description="what happened to it, and when")


class ProxyOut(EventOut):
    """A request to the reverse proxy."""

    service_id: str = Field(description="the service that was asked")
    timestamp: str = Field(description="when it came")
    method: str = Field(description="the method")
    host: str = Field(description="the host")
    path: str = Field(description="the path")
    duration_ms: int = Field(description="how long it took")
    status_code: int = Field(description="the status of the answer")
    source_ip: str = Field(description="from where it came")
    reason: str = Field(description="why it was refused")
    user_id: str = Field(description="whose request it was")
    auth_method_used: str = Field(description="how the user logged in")
    country_code: str = Field(description="the country from where it came")
    city_name: str = Field(description="the city from where it came")
    subdivision_code: str = Field(description="the part of the country")
    protocol: str = Field(description="the protocol")
    bytes_upload: int = Field(description="bytes that came in")
    bytes_download: int = Field(description="bytes that went out")
    metadata: dict[str, str] = Field(description="more about it")


class Page(BaseModel):
    """The number of a page, and how many there are."""

    page: int = Field(description="which page this is, from 1")
    page_size: int = Field(description="how many fit on one")
    total_records: int = Field(description="how many events match; the count has a limit")
    total_pages: int = Field(description="how many pages they fill")
    total_capped: bool = Field(description="whether more match than were counted")


class TrafficPage(Page):
    """A page of flows."""

    data: list[NetworkTrafficOut] = Field(description="the flows")


class ProxyPage(Page):
    """A page of requests."""

    data: list[ProxyOut] = Field(description="the requests")


class Rejected(BaseModel):
    """One document that was not accepted."""

    index: int = Field(description="which of the documents, from 0")
    field: str = Field(description="the path of what is wrong; empty for the whole document")
    error: str = Field(description="what is wrong with it")


class Counts(BaseModel):
    """The result for many documents."""

    accepted: int = Field(description="how many are new")
    duplicates: int = Field(description="how many had been accepted before")
    rejected: list[Rejected] = Field(description="the documents that were not accepted")


class AuditTaken(RootModel[AuditOut | Counts]):
    """The event, if the request had one. Else the result for all of them."""


class NetworkTrafficTaken(RootModel[NetworkTrafficOut | Counts]):
    """The flow, if the request had one. Else the result for all of them."""


class ProxyTaken(RootModel[ProxyOut | Counts]):
    """The request to the proxy, if there was one. Else the result for all of them."""


class AuditIn(RootModel[AuditData | Many[AuditData]]):
    """One audit event, or many."""


class NetworkTrafficIn(RootModel[NetworkTrafficData | Many[NetworkTrafficData]]):
    """One flow, or many."""


class ProxyIn(RootModel[ProxyData | Many[ProxyData]]):
    """One request to the reverse proxy, or many."""
