"""A mail server and an HTTP server for one test each."""

import pytest
from aiosmtpd.smtp import AuthResult
from tests.integration.notify.servers import hook_server, mail_server


@pytest.fixture
def mailbox():
    with mail_server() as running:
        yield running


@pytest.fixture
def guarded_mailbox():
    """A mail server that lets nobody in but ada, with her password."""

    def check(server, session, envelope, mechanism, auth_data):
        is_ada = (auth_data.login, auth_data.password) == (b"ada", b"secret")
        return AuthResult(success=is_ada, handled=is_ada)

    with mail_server(authenticator=check, auth_required=True, auth_require_tls=False) as running:
        yield running


@pytest.fixture
def hook():
    with hook_server() as running:
        yield running
