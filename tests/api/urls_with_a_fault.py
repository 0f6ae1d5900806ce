"""The real URL table, and two views that fail."""

from django.urls import path

from eventsinks.api.authentication import ApiKeyAuthentication
from eventsinks.api.v1.view import V1View
from project.urls import handler400, handler404, handler500, urlpatterns  # noqa: F401


def fails(request):
    raise RuntimeError("a secret of the server")


class Fails(V1View):
    scope = "event_sink"

    def get(self, request):
        raise RuntimeError("a secret of the server")


class LosesItsDatabase(V1View):
    scope = "event_sink"
    authentication_classes = (ApiKeyAuthentication,)

    def get(self, request):
        from django.db import OperationalError

        raise OperationalError("a secret of the database")


urlpatterns = [
    path("fails", fails),
    path("v1/fails", Fails.as_view()),
    path("v1/no_database", LosesItsDatabase.as_view()),
    *urlpatterns,
]
