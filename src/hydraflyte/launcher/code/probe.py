"""The child of `proof.py`: imports modules and loads tasks from an unpacked bundle, then writes what it saw.

Run by path with any interpreter that has flytekit, so it imports nothing of hydraflyte. Arguments: the file with the
request as JSON, and the file for the answer; stdin, stdout and stderr belong to the user's code.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from typing import Any


def main() -> None:
    """Answer one request."""
    request_path, answer_path = sys.argv[1:3]
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    answer = _probe(request)
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _probe(request: dict[str, Any]) -> dict[str, Any]:
    del sys.path[0]  # this file's directory; the bundle comes next, from PYTHONPATH
    at = "The code bundle cannot be imported"
    try:
        for module in request["modules"]:
            at = f"{module} cannot be imported from the code bundle"
            file = getattr(importlib.import_module(module), "__file__", None) or ""
            if module in request["bundled"] and not os.path.realpath(file).startswith(request["code"] + os.sep):
                hint = f"Rename the file: {module} is already the name of another module there."
                return {
                    "ok": False,
                    "what": at,
                    "traceback": f"It comes from {file or 'the interpreter'} instead.",
                    "hint": hint,
                }
        for load in request["loads"]:
            at = f"The task {load['task_name']} cannot be loaded from the code bundle"
            task = _load(load)
            wrong = _what_is_wrong(load, task, request["bundled"])
            if wrong:
                return {"ok": False, "what": at, "traceback": wrong}
    except BaseException as error:  # a process border; a SystemExit at import is the user's error, too
        return _failed(at, error)
    return {"ok": True}


def _load(load: dict[str, Any]) -> Any:
    module, _, attribute = load["resolver"].rpartition(".")
    resolver = getattr(importlib.import_module(module), attribute)
    return resolver.load_task(loader_args=list(load["loader_args"]))


def _what_is_wrong(load: dict[str, Any], task: Any, bundled: list[str]) -> str | None:
    """Return what is wrong with a loaded task; flytekit's name for an installed one depends on where it lies."""
    if not hasattr(task, "dispatch_execute"):
        return f"{' '.join(load['loader_args'])} is a {type(task).__name__}, not a Flyte task."
    if set(bundled) & set(load["loader_args"]) and task.name != load["task_name"]:
        return f"There flytekit names it {task.name}."
    return None


def _failed(at: str, error: BaseException) -> dict[str, Any]:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    answer: dict[str, Any] = {"ok": False, "what": at, "traceback": "".join(lines)}
    if isinstance(error, ModuleNotFoundError):
        answer["missing"] = answer["missing_module"] = error.name
    elif isinstance(error, ImportError):
        match = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
        answer["missing"] = f"{match[2]}.{match[1]}" if match else ""  # may be a module that was left out
    elif isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        answer["missing_file"] = os.path.relpath(error.filename)
    elif isinstance(error, SystemExit):
        answer["hint"] = "Put what runs the program under `if __name__ == '__main__':`; tasks import the module."
    return answer


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # threads that the user's modules started must not keep this process
