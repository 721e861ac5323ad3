"""Files of this machine among the inputs of executions: uploaded, so that tasks can read them, also later.

flytekit puts them aside in a folder of this process, for an upload that is left to others. One rule: the address
follows the content, so that the same inputs are the same literals in every launch. Sends nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flyteidl.core import literals_pb2
from flytekit.core.context_manager import FlyteContextManager

from hydraflyte.errors import InputsError
from hydraflyte.launcher.literal_uris import literals_with_uris, local_path, uri_of
from hydraflyte.launcher.remote import FlyteClient, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFiles:
    """Uploads to one project and domain; each content is sent once."""

    client: FlyteClient
    project: str
    domain: str
    _sent: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def upload_all(self, inputs: Sequence[literals_pb2.LiteralMap]) -> tuple[literals_pb2.LiteralMap, ...]:
        """Return the inputs with the addresses of uploads; those without files of this machine are the same objects.

        Raises:
            InputsError: a folder of this machine is an input, and the backend is on another one.
        """
        return tuple(self._uploaded(each) for each in inputs)

    def _uploaded(self, inputs: literals_pb2.LiteralMap) -> literals_pb2.LiteralMap:
        if next(_put_aside(inputs), None) is None:
            return inputs
        uploaded = literals_pb2.LiteralMap()
        uploaded.CopyFrom(inputs)
        for name, literal, path in _put_aside(uploaded):
            if path.is_dir():
                self._check_folder(name)
            elif path.is_file():
                literal.scalar.blob.uri = self._upload(path)
        return uploaded

    def _upload(self, path: Path) -> str:
        digest = _md5(path)
        key = (path.name, digest)
        if key not in self._sent:
            self._sent[key] = self.client.upload(self.project, self.domain, Upload(path=path, digest_md5=digest))
        return self._sent[key]

    def _check_folder(self, name: str) -> None:
        if self.client.endpoint.is_embedded:
            return  # its tasks are on this machine, too
        raise InputsError(
            f"The input {name} is a folder of this machine, which tasks on {self.client.endpoint.place} cannot read.",
            hint="copy it to a store that the tasks can read, and give its address (s3://…, gs://…).",
        )


def _put_aside(inputs: literals_pb2.LiteralMap) -> Iterator[tuple[str, literals_pb2.Literal, Path]]:
    aside = FlyteContextManager.current_context().file_access.raw_output_prefix
    for name in sorted(inputs.literals):
        for literal in literals_with_uris(inputs.literals[name]):
            path = local_path(uri_of(literal) or "")
            if path is not None and literal.scalar.HasField("blob") and path.is_relative_to(aside):
                yield name, literal, path


def _md5(path: Path) -> bytes:
    hasher = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            hasher.update(chunk)
    return hasher.digest()
