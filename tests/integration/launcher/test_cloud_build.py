"""Google Cloud Build, as far as a server on this machine that answers like it can tell."""

import io
import json
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, Outcome, Target
from hydraflyte.launcher.images.cloudbuild import CloudBuild, cloud_build_of

DIGEST = "sha256:" + "2" * 64
REPOSITORY = "europe-docker.pkg.dev/my-project/images/app"


class Google:
    """Keeps what it is sent; ``endings`` are the answers about the build, one after the other, the last for ever."""

    def __init__(self):
        self.endings = [{"status": "QUEUED"}, {"status": "WORKING"}, success()]
        self.objects = {}
        self.deleted = []
        self.builds = []
        self.cancelled = []
        self.tokens = set()
        self.refusal = None

    def answer(self, method, path, body):
        if self.refusal is not None:
            return self.refusal
        if path.startswith("/upload/"):
            self.objects[re.search(r"b/(\S+?)/o\?.*name=(\S+)", path).groups()] = body
            return 200, {"name": "x"}
        if method == "DELETE":
            self.deleted.append(path)
            return 204, None
        if path.endswith(":cancel"):
            self.cancelled.append(path)
            return 200, {}
        if method == "POST":
            self.builds.append(json.loads(body))
            return 200, {"name": "operations/1", "metadata": {"build": {"id": "b-1", "logUrl": "https://logs/b-1"}}}
        return 200, self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]


def success(digest=DIGEST):
    return {"status": "SUCCESS", "results": {"images": [{"name": f"{REPOSITORY}:1", "digest": digest}]}}


@pytest.fixture
def google():
    state = Google()

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            state.tokens.add(self.headers["Authorization"])
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, document = state.answer(self.command, self.path, body)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *arguments):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def builder(google):
    return CloudBuild(
        project="my-project", token=lambda: "t0ken", build_api=google.address, storage_api=google.address, poll_s=0.01
    )


@pytest.fixture
def request_for(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "data.bin").write_text("big")
    (tmp_path / ".dockerignore").write_text("data.bin\n")

    def make(**settings):
        given = {"target": Target(repository=REPOSITORY, tag="1"), "base": "python:3.11", "context": tmp_path}
        return BuildRequest(**{"dockerfile": tmp_path / "Dockerfile", **given, **settings})

    return make


def test_the_context_is_built_there_and_the_reported_digest_names_the_image(google, request_for):
    said = []

    image = builder(google).build(request_for(build_args={"KEY": "hidden-value"}), said.append)

    assert image.reference == f"{REPOSITORY}@{DIGEST}"
    assert image.outcome is Outcome.built
    ((place, archive),) = google.objects.items()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert sorted(tar.getnames()) == [".dockerignore", ".hydraflyte.Dockerfile", "Dockerfile", "train.py"]
    (build,) = google.builds
    assert build["source"]["storageSource"]["bucket"] == place[0] == "my-project_cloudbuild"
    assert build["images"] == [f"{REPOSITORY}:1"]
    (step,) = build["steps"]
    assert step["args"][-7:] == ["--build-arg", "BASE_IMAGE", "--build-arg", "BASE_VERSION", "--build-arg", "KEY", "."]
    assert "KEY=hidden-value" in step["env"]
    assert not [line for line in said if "hidden-value" in line]
    assert [line for line in said if line.startswith("build ")] == [
        "build b-1: https://logs/b-1",
        "build b-1: QUEUED",
        "build b-1: WORKING",
        "build b-1: SUCCESS",
    ]
    assert len(google.deleted) == 1
    assert google.tokens == {"Bearer t0ken"}


def test_a_failed_build_says_what_google_says(google, request_for):
    google.endings = [
        {"status": "FAILURE", "failureInfo": {"detail": "step 0 exited with 1"}, "logUrl": "https://logs/b-1"}
    ]

    with pytest.raises(ImageError, match="as FAILURE: step 0 exited with 1") as failure:
        builder(google).build(request_for(), print)

    assert failure.value.hint == "its log is at https://logs/b-1."
    assert len(google.deleted) == 1


def test_a_success_that_names_another_image_is_none(google, request_for):
    google.endings = [{"status": "SUCCESS", "results": {"images": [{"name": "gcr.io/other/app", "digest": DIGEST}]}}]

    with pytest.raises(ImageError, match="ended the build of the default image as SUCCESS: it told no reason"):
        builder(google).build(request_for(), print)


def test_a_build_whose_time_is_up_is_cancelled(google, request_for):
    google.endings = [{"status": "WORKING"}]

    with pytest.raises(ImageError, match="was cancelled: its time was up while it was WORKING"):
        builder(google).build(request_for(timeout_s=0.1), print)

    assert google.cancelled == ["/v1/projects/my-project/builds/b-1:cancel"]


def test_a_refusal_is_shown_with_the_roles_that_are_needed(google, request_for):
    google.refusal = (403, {"error": {"message": "caller lacks storage.objects.create"}})

    with pytest.raises(ImageError, match=r"\(403\): caller lacks storage\.objects\.create") as failure:
        builder(google).build(request_for(), print)

    assert "Cloud Build Editor and Storage Admin" in failure.value.hint


def test_a_service_that_does_not_answer_is_named(request_for):
    unreachable = CloudBuild(
        project="p", token=lambda: "t", build_api="http://127.0.0.1:9", storage_api="http://[::1]:9"
    )

    with pytest.raises(ImageError, match="Google does not answer when uploading the context of the default image"):
        unreachable.build(request_for(), print)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"secrets": (BuildSecret(id="a", variable="A"),)}, "needs build secrets, and none can be handed"),
        ({"platforms": ("linux/amd64", "linux/arm64")}, "for linux/amd64 and linux/arm64; Cloud Build's docker"),
        ({"dockerfile": None}, "has no Dockerfile, and Cloud Build builds by one"),
    ],
)
def test_what_cloud_build_cannot_do_is_refused_before_anything_is_sent(google, request_for, settings, message):
    with pytest.raises(ConfigError, match=message):
        builder(google).build(request_for(**settings), print)

    assert google.objects == {}


def test_project_addresses_and_token_come_from_the_variables_that_gcloud_reads(google, request_for):
    variables = {
        "CLOUDSDK_CORE_PROJECT": "other",
        "CLOUDSDK_AUTH_ACCESS_TOKEN": "given",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"{google.address}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": google.address,
    }
    google.endings = [success()]

    image = cloud_build_of(REPOSITORY, variables).build(request_for(), print)

    assert image.digest == DIGEST
    assert google.tokens == {"Bearer given"}
    assert [bucket for bucket, _ in google.objects] == ["other_cloudbuild"]
