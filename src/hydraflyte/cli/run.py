"""``run SCRIPT [overrides…]``: what ``python SCRIPT -m …`` does, whatever launcher the script's own config names.

The script takes this process over: signals, terminal, exit status and output are its own.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hydraflyte.cli.options import Verbs, add_home
from hydraflyte.config import nearest
from hydraflyte.errors import DiscoveryError

_LAUNCHER = "hydra/launcher=hydraflyte"
"""The name that no other package claims."""
_NAMES_LAUNCHER = re.compile(r"\+{0,2}hydra/launcher(@[^=]*)?=")
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
    script = Path(options.script)
    if not script.is_file():
        raise DiscoveryError(f"There is no script {script}.", hint=_hint(script))
    environ = dict(os.environ)
    if options.home is not None:
        environ["HYDRAFLYTE_HOME"] = os.path.abspath(options.home)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(options.python, command_line(options.python, script, options.arguments), environ)
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


def _hint(script: Path) -> str:
    if script.is_dir():
        return f"name the file: {script}/train.py, for example."
    folder = script.parent
    scripts = tuple(path.name for path in folder.glob("*.py")) if folder.is_dir() else ()
    meant = nearest(script.name, scripts)
    return f"did you mean {folder / meant}?" if meant else "the path is relative to the current folder."
