"""The admin: the operators' pages. They decide nothing, because an action makes every change."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User

from eventsinks.admin.deliveries.admin import DeliveryAdmin
from eventsinks.admin.deliveries.events import EventAdmin
from eventsinks.admin.integrations.admin import IntegrationAdmin
from eventsinks.admin.people.admin import AccountAdmin, LogEntryAdmin, RoleAdmin
from eventsinks.admin.people.attempts import AttemptAdmin
from eventsinks.admin.replays.admin import ReplayAdmin
from eventsinks.admin.silences.admin import SilenceAdmin
from eventsinks.admin.sinks.admin import EventSinkAdmin
from eventsinks.admin.tenants.admin import TenantAdmin
from eventsinks.admin.tenants.api_keys import ApiKeyAdmin
from eventsinks.admin.tenants.slack_workspaces import SlackWorkspaceAdmin
from eventsinks.models import (
    ApiKey,
    Delivery,
    Event,
    EventSink,
    Integration,
    Replay,
    Silence,
    SlackWorkspace,
    Tenant,
)

admin.site.register(Tenant, TenantAdmin)
admin.site.register(ApiKey, ApiKeyAdmin)
admin.site.register(EventSink, EventSinkAdmin)
admin.site.register(SlackWorkspace, SlackWorkspaceAdmin)
admin.site.register(Integration, IntegrationAdmin)
admin.site.register(Silence, SilenceAdmin)
admin.site.register(Replay, ReplayAdmin)
admin.site.register(Event, EventAdmin)
admin.site.register(Delivery, DeliveryAdmin)
admin.site.register(LogEntry, LogEntryAdmin)
admin.site.unregister(User)
admin.site.register(User, AccountAdmin)
admin.site.unregister(Group)
admin.site.register(Group, RoleAdmin)
admin.site.register(AccessAttempt, AttemptAdmin)
# Their pages would show secrets, and would let others change what only its owner may change.
admin.site.unregister([EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken])
