"""GetVersion."""

from __future__ import annotations

from flyteidl.admin.version_pb2 import GetVersionRequest, GetVersionResponse, Version

from hydraflyte import __version__


async def get_version(request: GetVersionRequest) -> GetVersionResponse:
    """Return hydraflyte's version as that of the control plane."""
    return GetVersionResponse(control_plane_version=Version(Build="hydraflyte", Version=__version__))
