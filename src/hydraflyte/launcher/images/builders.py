"""The builders by the names that the config gives them; the one place that puts them together.

One rule: whatever runs a Dockerfile is asked only if the registry lacks the content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydraflyte.config import nearest
from hydraflyte.errors import ConfigError
from hydraflyte.image_config import BUILDERS
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.auto import AutoBuilder
from hydraflyte.launcher.images.building import ImageBuilder
from hydraflyte.launcher.images.built_once import BuiltOnce
from hydraflyte.launcher.images.choice import Wish
from hydraflyte.launcher.images.cli_builders import cli_builder, first_usable
from hydraflyte.launcher.images.cloudbuild import cloud_build_of
from hydraflyte.launcher.images.presence import ExistingImage


def builders_for(wanted: Sequence[Wish], environment: Mapping[str, str]) -> dict[str, ImageBuilder]:
    """Return the builder of every image, by the image's name.

    Raises:
        ConfigError: a name is none of a builder, or a builder lacks what it needs.
    """
    return {wish.name: builder_named(wish.builder, wish.request.target.repository, environment) for wish in wanted}


def builder_named(name: str, repository: str, environment: Mapping[str, str]) -> ImageBuilder:
    """Return one builder.

    Args:
        repository: where it will push to.

    Raises:
        ConfigError: there is none of that name, or it lacks what it needs.
    """
    match name:
        case "auto":
            return AutoBuilder(find_builder=lambda: first_usable(environment), environment=environment)
        case "append":
            return LayerAppender(environment=environment)
        case "none":
            return ExistingImage(environment=environment)
        case "cloudbuild":
            return BuiltOnce(inner=cloud_build_of(repository, environment), environment=environment)
    found = cli_builder(name, environment)
    if found is None:
        meant = nearest(name, BUILDERS)
        raise ConfigError(
            f"There is no image builder {name!r}.",
            hint=f"did you mean {meant}?" if meant else f"builders are {', '.join(BUILDERS)}.",
        )
    return BuiltOnce(inner=found, environment=environment)
