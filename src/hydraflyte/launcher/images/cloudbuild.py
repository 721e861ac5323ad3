"""Google Cloud Build over its REST interface: the context is uploaded, built and pushed there.

One rule: only the digest that Cloud Build reports for a build of status SUCCESS names an image. Speaks to two services,
Cloud Build and Cloud Storage, and keeps nothing: the context is deleted afterwards.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

import requests

from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Outcome, Say
from hydraflyte.launcher.images.context import collect_context
from hydraflyte.launcher.images.dialects import base_arguments
from hydraflyte.launcher.images.registry.names import parse_image

BUILD_API = "https://cloudbuild.googleapis.com"
STORAGE_API = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_BUILDER = "gcr.io/cloud-builders/docker"
_DOCKERFILE = ".hydraflyte.Dockerfile"
_CALL_LIMIT_S = 60.0
_POLL_S = 2.0
_BUSY = ("PENDING", "QUEUED", "WORKING", "STATUS_UNKNOWN")
_PATIENCE = 5
"""That many unanswered questions in a row about a build under way; the build itself does not mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudBuild:
    """Builds in a Google Cloud project.

    Attributes:
        project: the project that builds, and whose bucket takes the context.
        token: gives an access token; asked anew for every call, because tokens expire.
        build_api: address of Cloud Build.
        storage_api: address of Cloud Storage.
        poll_s: how often a build under way is asked for.
    """

    project: str
    token: Callable[[], str]
    build_api: str = BUILD_API
    storage_api: str = STORAGE_API
    poll_s: float = _POLL_S

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        return "cloudbuild"

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the image, built and pushed by Cloud Build.

        Raises:
            ConfigError: Cloud Build cannot do what the request asks for.
            ImageError: the build failed, or a service does not answer.
        """
        _check(request)
        deadline = time.monotonic() + request.timeout_s
        bucket, source = f"{self.project}_cloudbuild", f"source/hydraflyte-{uuid.uuid4().hex}.tgz"
        sent_bytes = self._upload(request, bucket, source)
        say(f"context uploaded to gs://{bucket}/{source}: {sent_bytes / 1e6:.2f} MB")
        try:
            build = self._submit(request, bucket, source)
            say(f"build {build['id']}: {build.get('logUrl', '')}")
            ended = self._wait(build["id"], request, deadline, say)
        finally:
            with suppress(ImageError):
                self._call("DELETE", f"{self.storage_api}/storage/v1/b/{bucket}/o/{quote(source, safe='')}", "deleting")
        digest = _digest_in(ended, request)
        return BuiltImage(
            reference=request.target.pinned(digest), digest=digest, outcome=Outcome.built, sent_bytes=sent_bytes
        )

    def _upload(self, request: BuildRequest, bucket: str, name: str) -> int:
        address = f"{self.storage_api}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        with tempfile.TemporaryFile() as archive:
            pack_context(request, archive)
            size_bytes = archive.tell()
            archive.seek(0)
            self._call("POST", address, f"uploading the context of the {request.title} to gs://{bucket}", data=archive)
        return size_bytes

    def _submit(self, request: BuildRequest, bucket: str, source: str) -> dict[str, Any]:  # Any: JSON
        address = f"{self.build_api}/v1/projects/{self.project}/builds"
        wanted = {"source": {"storageSource": {"bucket": bucket, "object": source}}, **build_document(request)}
        answer = self._call("POST", address, f"submitting the build of the {request.title}", json=wanted)
        build: dict[str, Any] = answer.get("metadata", {}).get("build", {})
        if "id" not in build:
            raise ImageError(
                f"Cloud Build did not say which build it began: {json.dumps(answer)[:300]}",
                hint="look at the project's builds in Google's console.",
            )
        return build

    def _wait(self, identity: str, request: BuildRequest, deadline: float, say: Say) -> dict[str, Any]:  # Any: JSON
        address = f"{self.build_api}/v1/projects/{self.project}/builds/{identity}"
        said, unanswered = "", 0
        while True:
            try:
                build = self._call("GET", address, f"asking for build {identity}")
                unanswered = 0
            except ImageError:
                unanswered += 1
                if unanswered >= _PATIENCE:
                    raise
                build = {"status": said or "QUEUED"}
            status = str(build.get("status", "STATUS_UNKNOWN"))
            if status != said:
                said = status
                say(f"build {identity}: {status}")
            if status not in _BUSY:
                return build
            is_late = time.monotonic() > deadline
            if is_late or request.is_cancelled():
                with suppress(ImageError):
                    self._call("POST", f"{address}:cancel", f"cancelling build {identity}", json={})
                why = "its time was up" if is_late else "the launch was stopped"
                raise ImageError(
                    f"Build {identity} of Cloud Build was cancelled: {why} while it was {status}.",
                    hint="give it longer with build_timeout_s. Nothing was pushed.",
                )
            time.sleep(self.poll_s)

    def _call(self, method: str, address: str, doing: str, **body: Any) -> dict[str, Any]:  # Any: JSON
        headers = {"Authorization": f"Bearer {self.token()}", "User-Agent": "hydraflyte"}
        try:
            answer = requests.request(method, address, headers=headers, timeout=_CALL_LIMIT_S, **body)
        except requests.RequestException as error:
            raise ImageError(
                f"Google does not answer when {doing}: {error}", hint="check the network, then launch again."
            ) from error
        if not answer.ok:
            raise _refusal(answer, doing)
        if not answer.content:
            return {}
        document: dict[str, Any] = answer.json()
        return document


def build_document(request: BuildRequest) -> dict[str, Any]:  # Any: JSON
    """Return the build as Cloud Build takes it. Values of build arguments are in its environment, not its arguments."""
    values = {**base_arguments(request.base), **request.build_args}
    arguments = ["build", f"--tag={request.target.reference}", f"--file={_DOCKERFILE}", "--pull"]
    arguments += [f"--platform={platform}" for platform in request.platforms]
    arguments += [part for name in values for part in ("--build-arg", name)]
    environment = ["DOCKER_BUILDKIT=1", *(f"{name}={value}" for name, value in values.items())]
    return {
        "steps": [{"name": _BUILDER, "args": [*arguments, "."], "env": environment}],
        "images": [request.target.reference],
        "timeout": f"{request.timeout_s:.0f}s",
        "tags": ["hydraflyte"],
    }


def pack_context(request: BuildRequest, into: IO[bytes]) -> None:
    """Write the context, less what its ignore files leave out, and the Dockerfile as a gzipped tar."""
    assert request.dockerfile is not None
    files = collect_context(request.context, request.dockerfile)
    with tarfile.open(fileobj=into, mode="w:gz") as tar:
        for file in files.files:
            tar.add(file.path, arcname=file.name, recursive=False)
        tar.add(request.dockerfile, arcname=_DOCKERFILE)


def cloud_build_of(repository: str, environment: Mapping[str, str]) -> CloudBuild:
    """Return the builder for a target, as gcloud would find it.

    The project is that of CLOUDSDK_CORE_PROJECT or GOOGLE_CLOUD_PROJECT, else that of the target's repository. The
    token is CLOUDSDK_AUTH_ACCESS_TOKEN, else that of Google's application default credentials.

    Raises:
        ConfigError: no project can be found.
    """
    project = environment.get("CLOUDSDK_CORE_PROJECT") or environment.get("GOOGLE_CLOUD_PROJECT")
    name = parse_image(repository)
    if project is None and (name.host.endswith(("-docker.pkg.dev", "gcr.io"))):
        project = name.path.partition("/")[0]
    if not project:
        raise ConfigError(
            f"builder=cloudbuild needs a Google Cloud project, and {repository} names none.",
            hint="export GOOGLE_CLOUD_PROJECT=…",
        )
    given = environment.get("CLOUDSDK_AUTH_ACCESS_TOKEN")
    return CloudBuild(
        project=project,
        token=(lambda: given) if given else _default_token,
        build_api=environment.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD", BUILD_API).rstrip("/"),
        storage_api=environment.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", STORAGE_API).rstrip("/"),
    )


def _default_token() -> str:
    import google.auth  # slow to import, and needed for nothing else
    import google.auth.exceptions
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]  # google-auth has no types
    except google.auth.exceptions.GoogleAuthError as error:
        raise ImageError(
            f"There are no credentials for Cloud Build: {error}", hint="gcloud auth application-default login"
        ) from error
    return str(credentials.token)


def _check(request: BuildRequest) -> None:
    if request.dockerfile is None:
        raise ConfigError(
            f"The {request.title} has no Dockerfile, and Cloud Build builds by one.",
            hint="name it with dockerfile_path, or take builder=append, which puts the code onto the base image.",
        )
    if request.secrets:
        raise ConfigError(
            f"The {request.title} needs build secrets, and none can be handed to Cloud Build.",
            hint="take another builder, or build the image elsewhere and name it with builder=none.",
        )
    if len(request.platforms) > 1:
        raise ConfigError(
            f"The {request.title} is for {' and '.join(request.platforms)}; Cloud Build's docker builds for one.",
            hint="name one platform, or take another builder.",
        )


def _digest_in(build: Mapping[str, Any], request: BuildRequest) -> str:  # Any: JSON
    """Return the digest of the pushed image.

    Raises:
        ImageError: the build did not succeed.
    """
    status = build.get("status")
    for image in build.get("results", {}).get("images", []) if status == "SUCCESS" else []:
        if parse_image(image["name"]).repository == parse_image(request.target.repository).repository:
            return str(image["digest"])
    detail = build.get("failureInfo", {}).get("detail") or build.get("statusDetail") or "it told no reason"
    raise ImageError(
        f"Cloud Build ended the build of the {request.title} as {status}: {detail}",
        hint=f"its log is at {build.get('logUrl', 'the console')}.",
    )


def _refusal(answer: requests.Response, doing: str) -> ImageError:
    message = answer.text[:300]
    with suppress(ValueError, AttributeError, KeyError, TypeError):
        message = answer.json()["error"]["message"]
    hint = "the message is Google's; check project, bucket and names."
    if answer.status_code in (401, 403):
        hint = "the account needs the roles Cloud Build Editor and Storage Admin: gcloud auth application-default login"
    return ImageError(f"Google refused {doing} ({answer.status_code}): {message}", hint=hint)
