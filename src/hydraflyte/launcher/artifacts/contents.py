"""What a package file holds, of both kinds: hydraflyte's artifact, and the standard ``flyte-package.tgz``.

One rule: what is read is complete and as it was written, or nothing is returned. The layout of an artifact, with its
format number, stands here alone (docs/decisions/0131). Registers nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.artifacts.archive import Member, NoArchiveError, opened, write_archive
from hydraflyte.launcher.artifacts.templates import from_file, is_entity_file, order_of, to_files
from hydraflyte.launcher.register import SerializedEntity

FORMAT = 1
PROVENANCE = "provenance.json"
CONFIG = "config/config.yaml"
OVERRIDES = "config/overrides.yaml"
SCHEMA = "config/schema.json"
_MANIFEST = "manifest.json"
_CHECKSUMS = "checksums.sha256"
_ENTITIES = "entities/"
_CODE = "code/"
_BUNDLE_SUFFIX = ".tar.gz"
_CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_STANDARD_SUFFIXES = (".tgz", ".tar.gz")
_MOST_IN_MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an artifact says of itself.

    Attributes:
        workflow: name of the main workflow and of its launch plan.
        qualified: the version where the first one is registered with other settings; the same if it was given.
        reason: where the version comes from, in words.
        project: where it is delivered unless told otherwise; likewise ``domain``.
        uncommitted: files of the code bundle that are not as in the commit.
        committed: whether the code is that of a commit.
        require_clean: domains that take only committed code.
        made_with: name -> version of Python and of the packages that serialised it.
    """

    workflow: str
    version: str
    qualified: str
    reason: str
    project: str
    domain: str
    committed: bool
    uncommitted: tuple[str, ...]
    require_clean: tuple[str, ...]
    made_with: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A package that is complete and unharmed.

    Attributes:
        entities: in the order of registration, with holes (see ``templates``).
        code: the code bundle, under the name it is uploaded by; None if the images have the code.
        manifest: None for the standard package, which has none.
        documents: path in the artifact -> content: config, schema, provenance.
    """

    entities: tuple[SerializedEntity, ...]
    code: Path | None
    manifest: Manifest | None = None
    documents: Mapping[str, bytes] = field(default_factory=dict)


def is_standard_name(path: Path) -> bool:
    """Tell whether a file of that name is to be the standard package; flytectl reads it by these endings."""
    return path.name.endswith(_STANDARD_SUFFIXES)


def write_artifact(path: Path, artifact: Artifact) -> None:
    """Write the artifact; the same artifact gives the same bytes.

    Raises:
        ArtifactError: the file cannot be written.
    """
    assert artifact.manifest is not None, "only the standard package has none"
    manifest = {"format": FORMAT, **asdict(artifact.manifest)}
    members: dict[str, bytes | Path] = {_MANIFEST: _json(manifest)}
    members |= {f"{_ENTITIES}{name}": content for name, content in to_files(artifact.entities).items()}
    members |= dict(sorted(artifact.documents.items()))
    if artifact.code is not None:
        members[f"{_CODE}{artifact.code.name}"] = artifact.code
    lines = [f"{_sha256(content)}  {name}\n" for name, content in members.items()]
    write_archive(path, {**members, _CHECKSUMS: "".join(lines).encode()}, compressed=False)


def write_standard(path: Path, artifact: Artifact) -> None:
    """Write what `pyflyte package` would write: entities and code bundle alone.

    Raises:
        ArtifactError: the file cannot be written.
    """
    members: dict[str, bytes | Path] = dict(to_files(artifact.entities))
    if artifact.code is not None:
        digest = hashlib.md5(artifact.code.read_bytes(), usedforsecurity=False).hexdigest()
        members[f"fast{digest}{_BUNDLE_SUFFIX}"] = artifact.code
    write_archive(path, members, compressed=True)


def read_package(path: Path, scratch: Path) -> Artifact:
    """Return what a file of either kind holds.

    Args:
        scratch: where the code bundle is unpacked to; the caller's.

    Raises:
        ArtifactError: the file is damaged, of a later format, or none that ``deliver`` can take.
    """
    try:
        contents = _contents(path, scratch)
    except NoArchiveError as error:
        raise _unfit(path, "it is no tar file") from error
    if _MANIFEST not in contents:
        return _standard(path, contents)
    fields = _checked_format(path, contents[_MANIFEST])
    _check_sums(path, contents)
    entities = {
        name.removeprefix(_ENTITIES): content for name, content in contents.items() if name.startswith(_ENTITIES)
    }
    codes = [content for name, content in contents.items() if name.startswith(_CODE) and isinstance(content, Path)]
    known = (_MANIFEST, _CHECKSUMS, PROVENANCE, CONFIG, OVERRIDES, SCHEMA)
    unknown = [name for name in contents if name not in known and not name.startswith((_ENTITIES, _CODE))]
    if unknown or len(codes) > 1:
        raise _unfit(path, f"it holds {', '.join(unknown) or 'several code bundles'}")
    documents = {
        name: content for name, content in contents.items() if name in known[2:] and isinstance(content, bytes)
    }
    return Artifact(
        entities=_entities(path, entities),
        code=codes[0] if codes else None,
        manifest=_manifest(path, fields),
        documents=documents,
    )


def _contents(path: Path, scratch: Path) -> dict[str, bytes | Path]:
    contents: dict[str, bytes | Path] = {}
    held = 0
    with opened(path) as members:
        for member in members:
            if member.is_directory:
                continue
            if not member.name.isprintable():  # names are shown, and a terminal does what it reads
                raise _unfit(path, f"it holds {member.name!r}")
            content = contents[member.name] = _taken(member, scratch)
            held += len(content) if isinstance(content, bytes) else 0
            if held > _MOST_IN_MEMORY:
                raise _unfit(path, f"its files, without the code bundle, have more than {_MOST_IN_MEMORY} bytes")
    return contents


def _taken(member: Member, scratch: Path) -> bytes | Path:
    """Return the content of a small file; a code bundle goes to the scratch folder, under its last name."""
    if member.link_target is not None:
        raise ArtifactError(
            f"The archive is refused: {member.name!r} in it is a link.",
            hint="no package needs that; have it written again by `hydraflyte package` or `pyflyte package`.",
        )
    if not member.name.endswith(_BUNDLE_SUFFIX):
        return member.content()
    path = scratch / member.name.rpartition("/")[2]
    try:
        with path.open("xb") as file:
            file.writelines(member.chunks())
    except OSError as error:  # a second one of that name, a name that is too long, or no space left
        raise ArtifactError(
            f"{member.name} cannot be taken out of the archive: {error.strerror}.",
            hint="free some space for temporary files; if there is enough, have the package written again.",
        ) from error
    return path


def _standard(path: Path, contents: Mapping[str, bytes | Path]) -> Artifact:
    others = [name for name, content in contents.items() if not is_entity_file(name) and isinstance(content, bytes)]
    bundles = [content for content in contents.values() if isinstance(content, Path)]
    if others or len(bundles) > 1:
        shown = ", ".join(others[:3]) or "several code bundles"
        raise _unfit(path, f"it has no {_MANIFEST}, and holds {shown}")
    return Artifact(entities=_entities(path, contents), code=bundles[0] if bundles else None)


def _entities(path: Path, contents: Mapping[str, bytes | Path]) -> tuple[SerializedEntity, ...]:
    files = {name: content for name, content in contents.items() if isinstance(content, bytes)}
    if not files or not all(is_entity_file(name) for name in files):
        raise _unfit(path, "it holds no entities" if not files else "files of its entities have other names")
    return tuple(from_file(name, files[name]) for name in sorted(files, key=order_of))


def _checked_format(path: Path, content: bytes | Path) -> dict[str, Any]:  # Any: JSON, checked by _manifest
    assert isinstance(content, bytes)
    try:
        fields = json.loads(content)
        number = fields.pop("format")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(path, f"its {_MANIFEST} cannot be read") from error
    if number != FORMAT:
        raise ArtifactError(
            f"{path} is of format {number!r}; this version of hydraflyte reads format {FORMAT}.",
            hint="deliver it with the version of hydraflyte that wrote it, or a later one.",
        )
    return dict(fields)


def _check_sums(path: Path, contents: Mapping[str, bytes | Path]) -> None:
    listed = contents.get(_CHECKSUMS)
    if not isinstance(listed, bytes):
        raise _damaged(path, f"its last part, {_CHECKSUMS}, is missing")
    matches = [_CHECKSUM_LINE.fullmatch(line) for line in listed.decode(errors="replace").splitlines()]
    sums = {match[2]: match[1] for match in matches if match is not None}
    if len(sums) != len(matches) or sums.keys() != contents.keys() - {_CHECKSUMS}:
        names = sorted(sums.keys() ^ (contents.keys() - {_CHECKSUMS})) or [_CHECKSUMS]
        raise _damaged(path, f"files and checksums do not agree on {', '.join(names[:3])}")
    wrong = [name for name, digest in sums.items() if _sha256(contents[name]) != digest]
    if wrong:
        raise _damaged(path, f"the checksum of {', '.join(wrong[:3])} is another one")


def _manifest(path: Path, fields: Mapping[str, Any]) -> Manifest:  # Any: JSON, a wrong one raises
    try:
        made_with = {str(name): str(version) for name, version in fields["made_with"].items()}
        texts = {name: str(fields[name]) for name in ("workflow", "version", "reason", "project", "domain")}
        unfit = [name for name, text in texts.items() if not text.isprintable()]
        if unfit:
            raise _damaged(path, f"its {_MANIFEST} has control characters in {', '.join(unfit)}")
        return Manifest(
            committed=bool(fields["committed"]),
            uncommitted=tuple(map(str, fields["uncommitted"])),
            require_clean=tuple(map(str, fields["require_clean"])),
            made_with=made_with,
            qualified=str(fields.get("qualified", texts["version"])),  # earlier releases did not write it
            **texts,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"its {_MANIFEST} has no {error}") from error


def _sha256(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return sha256_of(file)


def sha256_of(file: Any) -> str:  # Any: an open binary file; typing has no narrow protocol for it
    """Return the SHA-256 of what is left in an open file, in hex."""
    hasher = hashlib.sha256()
    while chunk := file.read(1024 * 1024):
        hasher.update(chunk)
    return hasher.hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:  # Any: JSON
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path} is damaged or cut off: {why}.", hint="copy it again, or have it written again.")


def _unfit(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is no package of Flyte entities: {why}.",
        hint="give a file that `hydraflyte package` or `pyflyte package` wrote.",
    )
