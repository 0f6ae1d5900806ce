"""Signing secrets over both APIs: how one is shown, and what is said when it is rotated."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StrictInt


class RotateSecret(BaseModel):
    """For how many seconds the old secret signs beside the new one: a day, if it is not said."""

    overlap_s: Annotated[StrictInt, Field(ge=0, le=7 * 86_400)] = Field(
        86_400, description="for how many seconds the old secret signs, too"
    )


class SigningSecret(BaseModel):
    """What requests are signed with."""

    signing_secret: str = Field(description="the secret, as Standard Webhooks write it: `whsec_…`")
