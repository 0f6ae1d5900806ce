"""Who looks after it: the pages of the operators. They decide nothing: every change is an action's."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User

from eventsinks.admin.api_keys import ApiKeyAdmin
from eventsinks.admin.attempts import AttemptAdmin
from eventsinks.admin.deliveries import DeliveryAdmin
from eventsinks.admin.event_sinks import EventSinkAdmin
from eventsinks.admin.events import EventAdmin
from eventsinks.admin.integrations import IntegrationAdmin
from eventsinks.admin.people import AccountAdmin, LogEntryAdmin, RoleAdmin
from eventsinks.admin.silences import SilenceAdmin
from eventsinks.admin.slack_workspaces import SlackWorkspaceAdmin
from eventsinks.admin.tenants import TenantAdmin
from eventsinks.models import ApiKey, Delivery, Event, EventSink, Integration, Silence, SlackWorkspace, Tenant

admin.site.register(Tenant, TenantAdmin)
admin.site.register(ApiKey, ApiKeyAdmin)
admin.site.register(EventSink, EventSinkAdmin)
admin.site.register(SlackWorkspace, SlackWorkspaceAdmin)
admin.site.register(Integration, IntegrationAdmin)
admin.site.register(Silence, SilenceAdmin)
admin.site.register(Event, EventAdmin)
admin.site.register(Delivery, DeliveryAdmin)
admin.site.register(LogEntry, LogEntryAdmin)
admin.site.unregister(User)
admin.site.register(User, AccountAdmin)
admin.site.unregister(Group)
admin.site.register(Group, RoleAdmin)
admin.site.register(AccessAttempt, AttemptAdmin)
# Their pages would show secrets, and change what only their owner may change.
admin.site.unregister([EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken])
