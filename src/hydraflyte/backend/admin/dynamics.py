"""What dynamic tasks produce, compiled: like a workflow that a client registers, but stored with its execution only.

The one rule: a launch plan that is not registered when the task asks for it makes the task fail, as any other problem
of its workflow does.
"""

from __future__ import annotations

import asyncio

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure

from hydraflyte.backend.admin import compiling
from hydraflyte.backend.admin.references import referenced
from hydraflyte.backend.compiler.dynamic import compile_dynamic, produced_template
from hydraflyte.backend.ports import FuturesWritten
from hydraflyte.backend.store.database import Database


async def compile_futures(database: Database, written: FuturesWritten) -> CompiledWorkflowClosure:
    """Return the workflow that an attempt of a dynamic task produced.

    Raises:
        CompilationError: with every problem found.
    """
    futures = written.futures
    template = produced_template(futures, written.attempt, written.outputs)
    needed = referenced([template, *futures.subworkflows])
    found = await database.read(lambda connection: compiling.fetch(connection, needed))
    return await asyncio.to_thread(compile_dynamic, futures, written.attempt, written.outputs, found)
