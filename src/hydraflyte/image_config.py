"""What can be set for one image, of those that tasks run in: a part of the schema under ``hydra.launcher``.

Mutable, as all of the schema: Hydra refuses every override of a frozen one. Whether the values fit together is checked
where the whole config is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BUILDERS = ("auto", "docker-buildx", "podman", "buildah", "docker", "append", "cloudbuild", "none")
"""What can make an image, or none: somebody else does."""


@dataclass
class ImageConfig:
    """One container image; all keys empty means flytekit's stock image."""

    base_image: str | None = field(
        default=None, metadata={"help": "the existing image to run in, or to build on; without its tag"}
    )
    base_image_version: str | None = field(default=None, metadata={"help": "tag of base_image"})
    target_image: str | None = field(default=None, metadata={"help": "name of the image to build and push"})
    target_image_version: str | None = field(default=None, metadata={"help": "tag of target_image"})
    dockerfile_path: str | None = field(
        default=None, metadata={"help": "Dockerfile to build with; default: the Dockerfile in docker_context, if any"}
    )
    docker_context: str | None = field(
        default=None, metadata={"help": "folder that the Dockerfile copies from; default: the folder of the code"}
    )
    dependencies: str | None = field(
        default=None,
        metadata={
            "help": "uv.lock, requirements.txt or pylock.toml: its packages become a layer, without a Dockerfile"
        },
    )
    buildargs: dict[str, str] = field(
        default_factory=dict, metadata={"help": "build arguments; their values are never shown"}
    )
    secrets: list[str] = field(
        default_factory=list,
        metadata={"help": "build secrets: the name of a variable, id=NAME,env=VARIABLE or id=NAME,src=FILE"},
    )
    platforms: list[str] = field(
        default_factory=list,
        metadata={"help": "such as linux/amd64, what the cluster runs; default: the builder's own"},
    )
    builder: str = field(
        default="auto",
        metadata={"help": "auto, docker-buildx, podman, buildah, docker, append, cloudbuild, or none: it must exist"},
    )
    build_timeout_s: int = field(default=3600, metadata={"help": "a build that takes longer is stopped, in seconds"})
    flyte_image_name: str | None = field(
        default=None, metadata={"help": "the name tasks refer to it by: {{.images.NAME.fqn}}:{{.images.NAME.version}}"}
    )

    def reference(self) -> str | None:
        """Return ``image:tag`` of the existing image to run in, or None for the stock image.

        The target image, where one is named: it is built at other times, or by somebody else. Without a tag or digest
        it is ``latest``, as for Docker.
        """
        if self.target_image is not None:
            return _reference(self.target_image, self.target_image_version)
        return self.base_reference()

    def base_reference(self) -> str | None:
        """Return ``image:tag`` of the image to build on, or None."""
        return _reference(self.base_image, self.base_image_version)


def _reference(name: str | None, tag: str | None) -> str | None:
    if name is None or (tag is None and ("@" in name or ":" in name.rpartition("/")[2])):
        return name
    if tag is not None and tag.startswith("sha256:"):
        return f"{name}@{tag}"
    return f"{name}:{tag or 'latest'}"
