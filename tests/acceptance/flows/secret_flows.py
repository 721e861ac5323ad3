"""Tasks that ask for secrets, in every way that flytekit offers."""

import os

from flytekit import Secret, current_context, dynamic, map_task, task, workflow

AS_FILE = Secret(group="db", key="password")
AS_VARIABLE = Secret(group="db", key="user", mount_requirement=Secret.MountType.ENV_VAR, env_var="DB_USER")
NAMED_FILE = Secret(group="db", key="password", mount_requirement=Secret.MountType.FILE, env_var="PASSWORD_FILE")
VERSIONED = Secret(group="api", key="token", group_version="v2")
FROM_THE_SHELL = Secret(group="shell", key="word", mount_requirement=Secret.MountType.ENV_VAR)
MISSING = Secret(group="nobody", key="knows")


@task(secret_requests=[AS_FILE, AS_VARIABLE, VERSIONED, FROM_THE_SHELL])
def use_secrets() -> list[str]:
    """Return what was found; only a test may do this."""
    secrets = current_context().secrets
    return [
        secrets.get("db", "password"),
        secrets.get("db", "user"),
        os.environ["DB_USER"],
        secrets.get("api", "token", "v2"),
        secrets.get("shell", "word"),
    ]


@workflow
def uses_secrets() -> list[str]:
    return use_secrets()


@task(secret_requests=[NAMED_FILE])
def find_file() -> tuple[str, int, str]:
    path = os.environ["PASSWORD_FILE"]
    with open(path) as file:
        return path, os.stat(path).st_mode & 0o777, file.read()


@workflow
def finds_file() -> tuple[str, int, str]:
    return find_file()


@task(secret_requests=[AS_FILE])
def add_word(word: str) -> str:
    return f"{word} {len(current_context().secrets.get('db', 'password'))}"


@dynamic(secret_requests=[AS_VARIABLE])
def for_each(words: list[str]) -> list[str]:
    user = current_context().secrets.get("db", "user")
    return map_task(add_word)(word=[f"{len(user)} {word}" for word in words])


@workflow
def in_dynamic_and_map_tasks(words: list[str]) -> list[str]:
    return for_each(words=words)


@task(secret_requests=[MISSING])
def insist() -> str:
    return current_context().secrets.get("nobody", "knows")


@workflow
def insists_on_a_missing_secret() -> str:
    return insist()


@task(secret_requests=[MISSING])
def shrug() -> str:
    return "did not need it"


@workflow
def asks_in_vain() -> str:
    return shrug()


@task
def pry() -> list[str]:
    return sorted(name for name in os.environ if "FSEC" in name or "SECRET" in name)


@workflow
def pries() -> list[str]:
    return pry()
