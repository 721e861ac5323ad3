"""What marks an execution as a job of a sweep: labels to search by, annotations to compare with.

One rule: everything that finds a sweep again, on any machine, is written here and read here. Strings only.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence

from flyteidl.core import literals_pb2

SWEEP = "hydraflyte-sweep"
"""Label: id of the sweep."""
JOB = "hydraflyte-job"
"""Label: number of the job in the sweep."""
ROUND = "hydraflyte-round"
"""Label: 0 for a job's first execution, one more each time it is submitted anew."""
VERSION = "hydraflyte-version"
"""Label: version of the launch plan."""
NOTES = "hydraflyte.org/"
"""What annotations begin with that a launch has made."""
OVERRIDES = "hydraflyte.org/overrides"
"""Annotation: the job's overrides, as a shell would read them."""
INPUTS = "hydraflyte.org/inputs-digest"
"""Annotation: digest of the job's inputs."""
FOLDER = "hydraflyte.org/sweep-folder"
"""Annotation: host and folder where the manifest was written."""

_LONGEST_LABEL = 63


def label_value(text: str) -> str:
    """Return the text as Kubernetes takes it: letters, digits, ``-_.``, at most 63, letters or digits at both ends."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:_LONGEST_LABEL].strip("-._")


def join_overrides(overrides: Sequence[str]) -> str:
    """Return the overrides as one text.

    Example:
        >>> split_overrides(join_overrides(["+x=1", "name='a b'"]))
        ('+x=1', "name='a b'")
    """
    return shlex.join(overrides)


def split_overrides(text: str) -> tuple[str, ...]:
    """Return the overrides of a text that ``join_overrides`` made."""
    try:
        return tuple(shlex.split(text))
    except ValueError:  # written by something else
        return (text,)


def notes_of(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return what a launch has noted of its code and its call, by the names of the notes, in their order."""
    return {key.removeprefix(NOTES): annotations[key] for key in sorted(annotations) if key.startswith(NOTES)}


def digest_of(inputs: literals_pb2.LiteralMap) -> str:
    """Return a digest of the inputs that is the same whenever they are."""
    return hashlib.sha256(inputs.SerializeToString(deterministic=True)).hexdigest()[:32]
