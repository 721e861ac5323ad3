"""Images for several platforms, in both families of formats."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.acceptance.images.conftest import NO_CREDENTIALS
from tests.image_tools import push_image, tar_of

from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    digest_of,
    encode,
)


def push_family(registry: str, path: str, *, is_docker: bool, environment: Sequence[str] = ()) -> str:
    """Push an index (or list) of tiny images for amd64 and arm64, and an attestation; returns its reference."""
    writer = Registry.open(f"{registry}/{path}", writes=True, environment=NO_CREDENTIALS)
    entries = []
    for architecture in ("amd64", "arm64"):
        reference = push_image(
            registry, path, architecture, layers=[tar_of({"arch": architecture.encode()})], environment=environment
        )
        manifest = writer.manifest(reference.rpartition(":")[2])
        config = json.loads(writer.read_blob(manifest.config.digest, manifest.config.size_bytes))
        config["architecture"] = architecture
        content = encode(config)
        writer.push_blob(digest_of(content), content)
        document = json.loads(manifest.content)
        document["config"] |= {"digest": digest_of(content), "size": len(content)}
        if is_docker:
            document["mediaType"] = DOCKER_MANIFEST
            document["config"]["mediaType"] = DOCKER_CONFIG
            document["layers"] = [layer | {"mediaType": DOCKER_LAYER} for layer in document["layers"]]
        content = encode(document)
        writer.push_manifest(architecture, content, document["mediaType"])
        variant = {"variant": "v8"} if architecture == "arm64" else {}
        entries.append(
            {
                "mediaType": document["mediaType"],
                "digest": digest_of(content),
                "size": len(content),
                "platform": {"os": "linux", "architecture": architecture, **variant},
            }
        )
    entries.append({**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}})  # an attestation
    kind = DOCKER_LIST if is_docker else OCI_INDEX
    writer.push_manifest("all", encode({"schemaVersion": 2, "mediaType": kind, "manifests": entries}), kind)
    return f"{registry}/{path}:all"
