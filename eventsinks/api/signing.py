"""Signing secrets in both APIs: the shapes for showing and rotating them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StrictInt


class RotateSecret(BaseModel):
    """How long the old secret signs beside the new one. The default is a day."""

    overlap_s: Annotated[StrictInt, Field(ge=0, le=7 * 86_400)] = Field(
        86_400, description="for how many seconds the old secret signs, too"
    )


class SigningSecret(BaseModel):
    """The secret that signs requests."""

    signing_secret: str = Field(description="the secret, as Standard Webhooks write it: `whsec_…`")
