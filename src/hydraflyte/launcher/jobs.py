"""Hydra's side of a sweep: composes each job's config, keeps its folder and tells the callbacks.

Does what Hydra's own launchers do around a job (``hydra.core.utils.run_job``), parted into a beginning and an end
because jobs elsewhere overlap. Knows nothing of Flyte. Writes into no config but that of the job itself.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydraflyte.clock import Clock
from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.progress import counted
from hydraflyte.launcher.records.session import SweepSession
from hydraflyte.launcher.resting import RestingConfig, Shelf
from hydraflyte.transport.hydra_job import pack_hydra_job
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE

GUARD_VARIABLE = "HYDRAFLYTE_LAUNCHER"
"""Put into ``hydra.job.env_set`` by the plugin's guard; of no use to anybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """What Hydra hands to a launcher.

    Attributes:
        config: the composed config of the whole sweep; read-only on Hydra 1.4.
        job_overrides: one inner tuple per job, in order.
        initial_job_idx: number of the first job; above 0 in the later batches of a sweep.
        session: what the batches of a sweep share.
    """

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    job_overrides: tuple[tuple[str, ...], ...]
    initial_job_idx: int
    session: SweepSession = field(default_factory=SweepSession)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: its number in the whole sweep.
        overrides: its overrides, without those of Hydra itself.
        composed: where its composed config is.
    """

    number: int
    overrides: tuple[str, ...]
    composed: RestingConfig

    @property
    def config(self) -> DictConfig:
        """Its composed config, with the ``hydra`` node."""
        return self.composed.get()

    def environment(self) -> dict[str, str]:
        """Return the variables of the job's tasks: ``hydra.job.env_set``, and what restores Hydra's side there.

        Raises:
            TransportError: the config's ``hydra`` node holds something that cannot travel.
        """
        _settle_output_dir(self)
        with hydra_config_of(self):
            variables = OmegaConf.to_container(self.config.hydra.job.env_set, resolve=True)
            name = JobRuntime.instance().get("name")
            packed = pack_hydra_job(self.config, name=name, now=datetime.now())
        assert isinstance(variables, dict)
        wanted = {str(key): str(value) for key, value in variables.items() if key != GUARD_VARIABLE}
        return {**wanted, HYDRA_JOB_VARIABLE: packed}

    def config_without_hydra(self) -> DictConfig:
        """Return a copy of what the user's function is given."""
        task_config = copy.deepcopy(self.config)
        with read_write(task_config), open_dict(task_config):
            del task_config["hydra"]
        return task_config

    def hydra_config(self) -> DictConfig:
        """Return a copy of what ``HydraConfig`` has."""
        return OmegaConf.masked_copy(self.config, "hydra")


class RestingReturn(JobReturn):  # type: ignore[misc]  # Hydra has no type information
    """A ``JobReturn`` whose configs are made when looked at, and small afterwards: a sweeper keeps all of them."""

    def __init__(self, job: Job, **fields: Any) -> None:  # Any: those of a ``JobReturn``
        self.__dict__["_job"] = job
        super().__init__(**fields)
        del self.__dict__["_cfg"], self.__dict__["_hydra_cfg"]  # None, from the defaults of a ``JobReturn``

    @property
    def cfg(self) -> DictConfig | None:
        return self._at_rest("_cfg", self.__dict__["_job"].config_without_hydra)

    @cfg.setter
    def cfg(self, config: DictConfig | None) -> None:
        self._put_to_rest("_cfg", config)

    @property
    def hydra_cfg(self) -> DictConfig | None:
        return self._at_rest("_hydra_cfg", self.__dict__["_job"].hydra_config)

    @hydra_cfg.setter
    def hydra_cfg(self, config: DictConfig | None) -> None:
        self._put_to_rest("_hydra_cfg", config)

    def make_configs(self) -> None:
        """Make the configs now, as the job's config is."""
        assert self.cfg is not None
        assert self.hydra_cfg is not None

    def __reduce__(self) -> tuple[Any, ...]:  # Any: as pickle and copy want it
        """Be a plain ``JobReturn`` wherever this goes: into a file of a callback, into a copy."""
        return JobReturn, tuple(getattr(self, each.name) for each in fields(JobReturn))

    def _at_rest(self, name: str, make: Callable[[], DictConfig]) -> DictConfig | None:
        if name not in self.__dict__:
            self._put_to_rest(name, make())
        place = self.__dict__[name]
        return None if place is None else place.get()

    def _put_to_rest(self, name: str, config: DictConfig | None) -> None:
        self.__dict__[name] = None if config is None else self.__dict__["_job"].composed.shelf.put(config)


def compose_jobs(request: LaunchRequest, tell: Callable[[str], None], clock: Clock) -> tuple[Job, ...]:
    """Return the jobs, numbered from ``initial_job_idx``; also makes Hydra's resolvers and logging ready.

    Args:
        tell: is given a line now and then if there are many.
    """
    setup_globals()
    configure_hydra_logging(request)
    shelf = Shelf()
    all_overrides = counted(request.job_overrides, "composed {} configs", tell, clock)
    return tuple(
        _compose_job(request, shelf, number, overrides)
        for number, overrides in enumerate(all_overrides, start=request.initial_job_idx)
    )


def configure_hydra_logging(request: LaunchRequest) -> None:
    """Set up logging as Hydra wants it outside jobs."""
    hydra = request.config.hydra
    if hasattr(request.hydra_context, "execution_whitelist"):  # Hydra 1.4
        whitelist = request.hydra_context.execution_whitelist
        configure_log(hydra.hydra_logging, hydra.verbose, execution_whitelist=whitelist)
    else:
        configure_log(hydra.hydra_logging, hydra.verbose)


@contextmanager
def hydra_config_of(job: Job) -> Iterator[None]:
    """Make ``${hydra:...}`` speak of this job while inside; unlike ``set_config``, without copying it."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = job.config
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


@contextmanager
def _as_callbacks_know_it(job: Job) -> Iterator[None]:
    """Make ``HydraConfig`` speak of this job while inside, as it does where Hydra itself runs jobs."""
    with hydra_config_of(job):
        HydraConfig.instance().set_config(job.config)
        yield


def open_job_return(job: Job) -> RestingReturn:
    """Return the job's ``JobReturn``, with everything but a result; touches nothing."""
    output_dir = _settle_output_dir(job)
    with hydra_config_of(job):
        return RestingReturn(
            job,
            overrides=OmegaConf.to_container(job.config.hydra.overrides.task),
            working_dir=output_dir if job.config.hydra.job.chdir else os.getcwd(),
            task_name=JobRuntime.instance().get("name"),
        )


def begin_job(request: LaunchRequest, job: Job) -> RestingReturn:
    """Make the job's folder with its ``.hydra`` files and tell the callbacks; returns the job's open ``JobReturn``."""
    job_return = open_job_return(job)
    with hydra_config_of(job):
        _write_job_folder(Path(job.config.hydra.runtime.output_dir), job)
    if _has_callbacks(request):
        job_return.make_configs()  # before a callback may change the job's config
        with _as_callbacks_know_it(job):
            request.hydra_context.callbacks.on_job_start(config=job.config, task_function=request.task_function)
    return job_return


def end_job(request: LaunchRequest, job: Job, job_return: JobReturn, result: object) -> None:
    """Close the job's ``JobReturn`` with its value, or as failed if ``result`` is an exception; tell the callbacks."""
    job_return.return_value = result
    job_return.status = JobStatus.FAILED if isinstance(result, BaseException) else JobStatus.COMPLETED
    if _has_callbacks(request):
        with _as_callbacks_know_it(job):
            request.hydra_context.callbacks.on_job_end(config=job.config, job_return=job_return)


def _has_callbacks(request: LaunchRequest) -> bool:
    """Tell whether anybody hears of jobs: what is prepared for callbacks costs more than the rest of a job."""
    return bool(request.hydra_context.callbacks.callbacks)


def end_sweep_early(request: LaunchRequest) -> None:
    """Tell the callbacks that the sweep ends, before the user leaves it; Hydra 1.4 does that by itself (hydra#3078)."""
    if not hasattr(request.hydra_context, "execution_whitelist"):  # Hydra 1.3
        config = request.config
        request.hydra_context.callbacks.on_multirun_end(config=config, config_name=config.hydra.job.config_name)


def as_hydra_prints_it(error: HydraFlyteError, *, brief: str | None = None) -> HydraFlyteError:
    """Return the same error, of its own class and of one that Hydra prints by its text, without anybody's frames.

    Args:
        error: what happened.
        brief: its text from now on, if the whole has been shown already; the whole is its cause then.
    """
    body: dict[str, object] = {"__module__": type(error).__module__}
    if brief is not None:
        body["__str__"] = lambda _: brief
    kind = type(type(error).__name__, (type(error), CompactHydraException), body)
    compact = kind.__new__(kind, *error.args)
    compact.__dict__.update(error.__dict__)
    compact.__cause__ = error.__cause__ if brief is None else error
    compact.__suppress_context__ = True
    assert isinstance(compact, HydraFlyteError)
    return compact


def with_own_folder(request: LaunchRequest) -> LaunchRequest:
    """Return the request with a sweep folder that no other running program uses, and make that folder.

    It is another one than Hydra's if two sweeps begin in the same second, or are told to use the same folder.
    """
    wanted = Path(str(request.config.hydra.sweep.dir))
    folder = request.session.own_folder(wanted)
    if folder == wanted:
        return request
    config = copy.deepcopy(request.config)
    with read_write(config.hydra), open_dict(config.hydra):  # Hydra 1.4 sets the flag there
        config.hydra.sweep.dir = str(folder)
        quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")  # each job's config is composed anew
    OmegaConf.save(config, folder / "multirun.yaml")
    return replace(request, config=config)


def sweeper_of(request: LaunchRequest) -> str:
    """Return the class of the sweeper, by its dotted name."""
    return str(request.config.hydra.sweeper._target_)


def make_sweep_dir(request: LaunchRequest) -> Path:
    """Make the sweep's folder and return it."""
    sweep_dir = Path(str(request.config.hydra.sweep.dir))
    sweep_dir.mkdir(parents=True, exist_ok=True)
    return sweep_dir


def _compose_job(request: LaunchRequest, shelf: Shelf, number: int, overrides: Sequence[str]) -> Job:
    config = request.hydra_context.config_loader.load_sweep_config(request.config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    OmegaConf.set_readonly(config.hydra, True)
    return Job(number=number, overrides=tuple(filter_overrides(overrides)), composed=shelf.put(config))


def _settle_output_dir(job: Job) -> str:
    """Write the absolute path of the job's folder into its config, as Hydra does, and return it."""
    with hydra_config_of(job):
        sweep, runtime = job.config.hydra.sweep, job.config.hydra.runtime
        output_dir = os.path.abspath(os.path.join(str(sweep.dir), str(sweep.subdir)))
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = output_dir
    return output_dir


def _write_job_folder(folder: Path, job: Job) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if job.config.hydra.output_subdir is None:
        return
    metadata = folder / str(job.config.hydra.output_subdir)
    metadata.mkdir(parents=True, exist_ok=True)
    contents = {
        "config.yaml": job.config_without_hydra(),
        "hydra.yaml": job.hydra_config(),
        "overrides.yaml": job.config.hydra.overrides.task,
    }
    for name, content in contents.items():
        (metadata / name).write_text(OmegaConf.to_yaml(content), encoding="utf-8")
