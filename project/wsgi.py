"""Django by itself, without the front."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_wsgi_application()

from eventsinks.actions.start import refuse_wrong_keys  # noqa: E402  (there are no models before)

refuse_wrong_keys()
