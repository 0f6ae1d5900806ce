"""The backlog form: asks what to do with the deliveries that were kept while a destination was not active."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms

from eventsinks.models.database.clock import read_database_clock

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class BacklogForm(forms.Form):
    """The answer.

    `since()` is the moment from which kept deliveries are sent, or None. `skip()` sends none of them.
    """

    backlog = forms.ChoiceField(choices=[(name, name) for name in ("all", "skip", "since")], required=False)
    moment = forms.DateTimeField(required=False, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    def clean(self) -> dict[str, Any]:
        """Require the moment if the answer needs one."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("backlog") == "since" and "moment" not in self.errors and not cleaned.get("moment"):
            self.add_error("moment", "Say since when.")
        if (moment := cleaned.get("moment")) and not EARLIEST <= moment <= read_database_clock():
            self.add_error("moment", "That moment lies too far back, or is still to come.")
        return cleaned

    def since(self) -> datetime | None:
        """Return the moment, None for another answer."""
        moment: datetime | None = self.cleaned_data["moment"]
        answer = self.cleaned_data["backlog"]
        return moment if answer == "since" else None

    def skip(self) -> bool:
        """Whether none of the kept deliveries are sent."""
        return bool(self.cleaned_data["backlog"] == "skip")

    def problem(self) -> str:
        """Return the problem, in a sentence."""
        return " ".join(str(text) for found in self.errors.values() for text in found)
