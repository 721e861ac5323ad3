"""``run SCRIPT [overrides…]``: what ``python SCRIPT -m …`` does, whatever launcher the script's own config names.

The script takes this process over: signals, terminal, exit status and output are its own. With ``--json`` it is a
process beside this one, which prints nothing but one document when the script has ended.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydraflyte.cli.options import Verbs, add_home, print_json
from hydraflyte.config import nearest
from hydraflyte.errors import DiscoveryError

_LAUNCHER = "hydra/launcher=hydraflyte"
"""The name that no other package claims."""
_NAMES_LAUNCHER = re.compile(r"\+{0,2}hydra/launcher(@[^=]*)?=")
_JSON = "--json"
"""Taken after the script's name too: Hydra has no such option."""
_NOTHING: dict[str, object] = {"sweep": None, "reason": "no launch", "registered": None, "jobs": []}
_MULTIRUN = ("-m", "--multirun")
_ONLY_SHOWS = re.compile(r"(--cfg|-c|--info|-i|--shell-completion|-sc|--help|-h|--hydra-help|--version)(=.*)?")
"""Options of Hydra that show something, which it does not take together with ``-m``."""


def add_verbs(verbs: Verbs) -> None:
    """Add the verb ``run``."""
    run = verbs.add_parser(
        "run",
        help="launch a Hydra script",
        description="Launch a Hydra script: the same as `python SCRIPT -m hydra/launcher=hydraflyte …`. Everything "
        "after SCRIPT goes to the script, Hydra's own options too.",
    )
    add_home(run)
    run.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document when the script has ended, and what the script prints on standard error",
    )
    run.add_argument(
        "--python", metavar="EXE", default=sys.executable, help="interpreter of the script (default: the one of this)"
    )
    run.add_argument("script", metavar="SCRIPT", help="path of the script")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="OVERRIDE", help="in Hydra's grammar")
    run.set_defaults(run=run_script)


def run_script(options: argparse.Namespace) -> int:
    """Become the script's own process; returns only if it cannot be started.

    Raises:
        DiscoveryError: the script or the interpreter is not there.
    """
    arguments = [argument for argument in options.arguments if argument != _JSON]
    options.json = options.json or len(arguments) < len(options.arguments)
    script = Path(options.script)
    if not script.is_file():
        raise DiscoveryError(f"There is no script {script}.", hint=_hint(script))
    environ = dict(os.environ)
    if options.home is not None:
        environ["HYDRAFLYTE_HOME"] = os.path.abspath(options.home)
    command = command_line(options.python, script, arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if options.json:
            return _run_beside(command, environ)
        os.execvpe(options.python, command, environ)
    except OSError as error:
        raise DiscoveryError(
            f"The interpreter {options.python} cannot be started: {error.strerror}.",
            hint="correct --python, or leave it out.",
        ) from error


def command_line(python: str, script: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that launches the script.

    Example:
        >>> command_line("python", Path("train.py"), ["lr=1,2"])
        ['python', 'train.py', '-m', 'hydra/launcher=hydraflyte', 'lr=1,2']
    """
    names_launcher = any(_NAMES_LAUNCHER.match(argument) for argument in arguments)
    only_shows = any(_ONLY_SHOWS.fullmatch(argument) for argument in arguments)
    others = [argument for argument in arguments if argument not in _MULTIRUN]
    launcher = [] if names_launcher else [_LAUNCHER]
    return [python, str(script), *([] if only_shows else ["-m"]), *launcher, *others]


def _run_beside(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the script with its output on standard error, and print what its launches tell.

    Raises:
        DiscoveryError: the script ended badly, before any launch or in the middle of one.
    """
    from hydraflyte.launcher.records.told import RECORD_VARIABLE, read_record

    with tempfile.TemporaryDirectory(prefix="hydraflyte-run-") as scratch:
        record = Path(scratch) / "record.json"
        with subprocess.Popen(command, env={**environ, RECORD_VARIABLE: str(record)}, stdout=2) as script:
            signal.signal(signal.SIGINT, lambda *_: None)  # the terminal interrupts the script, too
            signal.signal(signal.SIGTERM, lambda *_: script.terminate())
            ended = script.wait()
        told = read_record(record)
    status = ended if ended >= 0 else 128 - ended
    if told is None and status != 0:
        raise DiscoveryError(
            f"The script ended with status {status}, and no launch of it came to its end.",
            hint="standard error has what it said; `hydraflyte sweeps list` shows what was submitted, if anything was.",
        )
    print_json(told if "error" in (told or {}) else {"status": status, **(told or _NOTHING)})
    return status


def _hint(script: Path) -> str:
    if script.is_dir():
        return f"name the file: {script}/train.py, for example."
    folder = script.parent
    scripts = tuple(path.name for path in folder.glob("*.py")) if folder.is_dir() else ()
    meant = nearest(script.name, scripts)
    return f"did you mean {folder / meant}?" if meant else "the path is relative to the current folder."
