"""An image out of another one and new layers: its config and its manifest. Pure.

One rule: what we do not know stays as it is, and the new documents are of the same family, Docker's or OCI's, as those
of the image below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.layers import Layer
from hydraflyte.launcher.images.registry.manifests import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Child,
    Manifest,
    Platform,
    digest_of,
    encode,
)

CREATED = "1970-01-01T00:00:00Z"
"""No time gets into an image: the same content gives the same digest."""
_ROOTS_FOLDER = "/root"  # where flytekit's own images keep the code
_OTHERS_FOLDER = "/app"  # /root is closed to other users


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What comes on top.

    Attributes:
        layers: the new layers, the lowest first.
        search_paths: folders to put first on PYTHONPATH.
        program_paths: folders to put first on PATH.
        variables: environment variables to set.
        folder: the new working directory, or ``None``: as it is.
        annotations: to be added to an OCI manifest; Docker's family has no place for them.
    """

    layers: tuple[Layer, ...] = ()
    search_paths: tuple[str, ...] = ()
    program_paths: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """Documents that are ready to be pushed; the config before the manifest."""

    config: bytes
    manifest: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """``sha256:…`` of the manifest."""
        return digest_of(self.manifest)

    @property
    def config_document(self) -> dict[str, Any]:
        """The config, parsed."""
        return dict(json.loads(self.config))


def read_config(content: bytes, name: str) -> dict[str, Any]:
    """Return the parsed config of an image.

    Raises:
        ImageError: it is no config of an image that can be run.
    """
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    layers = _object(_object(document).get("rootfs")).get("diff_ids")
    if not isinstance(layers, list):
        raise ImageError(
            f"The config of {name} names no layers.",
            hint="It is no container image (a chart, a model?): check base_image.",
        )
    if not _is_sound(document, layers):
        raise ImageError(
            f"The config of {name} cannot be used: its settings are not of the kinds that they should be.",
            hint="Push the base again with a builder of this decade.",
        )
    return dict(document)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_sound(document: dict[str, Any], layers: list[object]) -> bool:
    settings, history = document.get("config") or {}, document.get("history") or []
    if not isinstance(settings, dict) or not isinstance(history, list):
        return False
    variables = settings.get("Env") or []
    texts = [document.get(key, "") for key in ("os", "architecture", "variant")]
    texts += [settings.get(key) or "" for key in ("WorkingDir", "User")]
    return (
        isinstance(variables, list)
        and all(isinstance(text, str) for text in [*layers, *variables, *texts])
        and all(isinstance(entry, dict) for entry in history)
    )


def platform_of(config: Mapping[str, Any]) -> Platform:
    """Return what an image's config says it runs on."""
    return Platform(
        os=config.get("os", ""), architecture=config.get("architecture", ""), variant=config.get("variant", "")
    )


def environment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of an image's config."""
    pairs = [text.partition("=") for text in (config.get("config") or {}).get("Env") or []]
    return {name: value for name, _, value in pairs}


def code_folder_of(config: Mapping[str, Any]) -> str:
    """Return where code goes: the image's working directory, or one that its user can read."""
    settings = config.get("config") or {}
    folder, user = str(settings.get("WorkingDir") or ""), str(settings.get("User") or "")
    if folder.strip("/"):
        return folder
    return _ROOTS_FOLDER if user.partition(":")[0] in ("", "0", "root") else _OTHERS_FOLDER


def assemble(manifest: Manifest, config: Mapping[str, Any], additions: Additions) -> Assembled:
    """Return the config and manifest of the image below with the additions on top."""
    new_config = encode(_config(manifest, config, additions))
    document = dict(manifest.document)
    document.pop("subject", None)  # it is no signature or attestation of anything
    layer_type = DOCKER_LAYER if manifest.is_docker else OCI_LAYER
    document |= {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if manifest.is_docker else OCI_MANIFEST,
        "config": {
            "mediaType": DOCKER_CONFIG if manifest.is_docker else OCI_CONFIG,
            "digest": digest_of(new_config),
            "size": len(new_config),
        },
        "layers": [
            *manifest.document["layers"],
            *(
                {"mediaType": layer_type, "digest": layer.digest, "size": layer.size_bytes}
                for layer in additions.layers
            ),
        ],
    }
    if not manifest.is_docker:
        document["annotations"] = {**manifest.annotations, **additions.annotations}
    return Assembled(config=new_config, manifest=encode(document), media_type=str(document["mediaType"]))


def without_last_copy(manifest: Manifest, config: Mapping[str, Any]) -> tuple[Manifest, dict[str, Any]] | None:
    """Return the image below its last layer, if its history says that a ``COPY`` made that layer, else ``None``."""
    history = list(config.get("history") or [])
    made = [at for at, entry in enumerate(history) if not entry.get("empty_layer")]
    diff_ids, layers = config["rootfs"]["diff_ids"], manifest.document["layers"]
    if not (len(made) == len(diff_ids) == len(layers) > 1) or "COPY" not in str(history[made[-1]].get("created_by")):
        return None  # squashed, or made in another way
    del history[made[-1]]
    trimmed = {**config, "history": history, "rootfs": {**config["rootfs"], "diff_ids": diff_ids[:-1]}}
    document = {**manifest.document, "layers": layers[:-1]}
    return replace(manifest, content=encode(document), document=document), trimmed


def assemble_index(
    is_docker: bool, children: Sequence[tuple[Child, Assembled]], annotations: Mapping[str, str]
) -> tuple[bytes, str]:
    """Return the index over new images, and its type; each is entered as the one below it was."""
    media_type = DOCKER_LIST if is_docker else OCI_INDEX
    entries = []
    for child, assembled in children:
        entry = {key: value for key, value in child.entry.items() if key != "annotations"}
        entries.append(
            entry | {"mediaType": assembled.media_type, "digest": assembled.digest, "size": len(assembled.manifest)}
        )
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    if not is_docker:
        document["annotations"] = dict(annotations)
    return encode(document), media_type


def _config(manifest: Manifest, config: Mapping[str, Any], additions: Additions) -> dict[str, Any]:
    document = dict(config)
    below = list(config["rootfs"]["diff_ids"])
    document["rootfs"] = {**config["rootfs"], "diff_ids": below + [layer.diff_id for layer in additions.layers]}
    history = list(config.get("history") or [])
    described = sum(not entry.get("empty_layer") for entry in history)
    history += [{"created": CREATED, "created_by": "unknown"}] * (len(below) - described)  # one entry for each layer
    history += [{"created": CREATED, "created_by": layer.created_by} for layer in additions.layers]
    document["history"] = history
    document["created"] = CREATED
    document["config"] = _settings(config, additions)
    return document


def _settings(config: Mapping[str, Any], additions: Additions) -> dict[str, Any]:
    settings = dict(config.get("config") or {})
    environment = {**environment_of(config), **additions.variables}
    for name, paths in (("PYTHONPATH", additions.search_paths), ("PATH", additions.program_paths)):
        known = [path for path in environment.get(name, "").split(":") if path]
        if name == "PATH" and not known:
            known = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]  # a runtime's own
        if paths:
            environment[name] = ":".join(dict.fromkeys([*paths, *known]))
    settings["Env"] = [f"{name}={value}" for name, value in environment.items()]
    if additions.folder is not None:
        settings["WorkingDir"] = additions.folder
    return settings
