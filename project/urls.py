"""The URLs: which view answers which path."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from eventsinks.admin.people import login
from eventsinks.api import errors, health, schema  # noqa: F401  (schema registers itself)
from eventsinks.api.netbird import events, integrations, proxy, traffic
from eventsinks.api.v1 import (
    delivery,
    detection_alert,
    event_sink_verbs,
    replay,
    silence,
    slack_integration,
    slack_pages,
    tenant,
    usage,
)

v1 = SimpleRouter(trailing_slash=False)
v1.register("v1/event_sink", event_sink_verbs.OperatedEventSinkViewSet, basename="event_sink")
v1.register("v1/slack_integration", slack_integration.SlackIntegrationViewSet, basename="slack_integration")
v1.register("v1/delivery", delivery.DeliveryViewSet, basename="delivery")
v1.register("v1/replay", replay.ReplayViewSet, basename="replay")
v1.register("v1/silence", silence.SilenceViewSet, basename="silence")
v1.register("v1/tenant", tenant.TenantViewSet, basename="tenant")
v1.register("v1/api_key", tenant.ApiKeyViewSet, basename="api_key")

api = SimpleRouter(trailing_slash=False)
api.register("api/event-streaming", integrations.IntegrationViewSet, basename="integration")
api.register(
    "api/integrations/event-streaming", integrations.AliasedIntegrationViewSet, basename="integration_too"
)

urlpatterns: list[URLPattern | URLResolver] = [
    *v1.urls,
    path("v1/usage", usage.UsageView.as_view(), name="usage"),
    path("v1/detection_alert", detection_alert.DetectionAlerts.as_view(), name="detection_alert"),
    # The sender chooses an alert's id, and it may contain a slash. So the verb is tried before the id.
    re_path(r"^v1/detection_alert/(?P<key>.+)/explain$", detection_alert.DetectionAlertExplain.as_view()),
    re_path(r"^v1/detection_alert/(?P<key>.+)$", detection_alert.DetectionAlertDetail.as_view()),
    *api.urls,
    path("api/events", events.AliasedAuditView.as_view()),
    path("api/events/audit", events.AuditView.as_view(), name="audit"),
    re_path(r"^api/events/audit/(?P<key>.+)$", events.AuditEventView.as_view()),
    path("api/events/network-traffic", traffic.NetworkTrafficView.as_view(), name="network_traffic"),
    path("api/events/proxy", proxy.ProxyView.as_view(), name="proxy"),
    path("slack/install", slack_pages.show_landing, name="slack_install"),
    path("slack/oauth/callback", slack_pages.finish_installation, name="slack_callback"),
    path("readyz", health.answer_readyz),
    path("metrics", health.answer_metrics),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    *login.urlpatterns,
    path("admin/", admin.site.urls),
]

handler400 = errors.bad_request
handler404 = errors.not_found
handler500 = errors.answer_server_error
