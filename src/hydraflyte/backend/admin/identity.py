"""Who may call and who calls: sign-in metadata and the owner's profile (sections 1.1 and 7).

A client with an external command asks GetPublicClientConfig for the header to put its token into, and
GetOAuth2Metadata for endpoints that it then does not use (flytekit 1.16 clients/auth_helper.py).
"""

from __future__ import annotations

from flyteidl.service.auth_pb2 import (
    OAuth2MetadataRequest,
    OAuth2MetadataResponse,
    PublicClientAuthConfigRequest,
    PublicClientAuthConfigResponse,
)
from flyteidl.service.identity_pb2 import UserInfoRequest, UserInfoResponse

from hydraflyte.backend.admin.parts import ControlPlaneParts

TOKEN_HEADER = "authorization"
"""Metadata key of the bearer token; lower case, as gRPC wants it."""


class IdentityService:
    """Handlers of AuthMetadataService and IdentityService."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._http_base_url = parts.http_base_url
        self._console_url = parts.console_url
        self._principal = parts.principal

    async def oauth2_metadata(self, request: OAuth2MetadataRequest) -> OAuth2MetadataResponse:
        """GetOAuth2Metadata: there is no OAuth server here, so no endpoints either."""
        return OAuth2MetadataResponse(issuer=self._http_base_url())

    async def public_client_config(self, request: PublicClientAuthConfigRequest) -> PublicClientAuthConfigResponse:
        """GetPublicClientConfig: the header for the token."""
        return PublicClientAuthConfigResponse(
            client_id="hydraflyte",
            authorization_metadata_key=TOKEN_HEADER,
            service_http_endpoint=self._console_url or self._http_base_url(),
        )

    async def user_info(self, request: UserInfoRequest) -> UserInfoResponse:
        """UserInfo: the owner; empty when nobody has to show a token."""
        return UserInfoResponse(subject=self._principal, name=self._principal, preferred_username=self._principal)
