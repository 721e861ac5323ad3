"""The console's pages of a real control plane, as a browser gets them over HTTP."""

import html
from html.parser import HTMLParser

import msgpack
import pytest
from flyteidl.admin.execution_pb2 import ExecutionMetadata, ExecutionSpec, WorkflowExecutionGetRequest
from flyteidl.core.literals_pb2 import Binary, Literal, LiteralMap, Primitive, Scalar

from hydraflyte.backend.admin.ordered import OrderedExecutions
from hydraflyte.backend.cleaning import Cleaner
from hydraflyte.backend.console.app import HttpParts, build_app
from hydraflyte.backend.console.cleaning import Cleaning
from hydraflyte.backend.console.forms import FormTokens
from hydraflyte.backend.console.guard import OwnerCheck, console_key
from hydraflyte.backend.console.logs import Logs
from hydraflyte.backend.console.orders import Orders
from hydraflyte.backend.console.outbox import Outbox
from hydraflyte.backend.console.pages import Pages
from hydraflyte.backend.console.sessions import Sessions
from hydraflyte.backend.console.sweeps import SweepPages
from hydraflyte.backend.console.transfer import Transfers
from hydraflyte.backend.executor.attempts import log_path
from hydraflyte.identifiers import ExecutionId
from hydraflyte.labels import JOB, OVERRIDES, SWEEP, join_overrides

TOKEN = "the-owner's-token"
HOSTILE = "\"'><script>alert(1)</script>"
SWEEPS = "/console/projects/flytesnacks/domains/development/sweeps"
EXECUTIONS = "/console/projects/flytesnacks/domains/development/executions"


def console_app(plane, host):
    parts, owner, tokens = plane.parts, OwnerCheck(TOKEN), FormTokens(b"secret")
    database, blobs, clock = parts.database, parts.blobs, parts.clock
    return build_app(
        HttpParts(
            transfers=Transfers(blobs=blobs, verify=lambda method, path, query: False),
            logs=Logs(
                find=lambda attempt, stream: log_path(plane.home, attempt, stream), database=database, owner=owner
            ),
            pages=Pages(database=database, blobs=blobs, owner=owner, tokens=tokens, why_waiting=parts.why_waiting),
            sweeps=SweepPages(database=database, blobs=blobs, owner=owner),
            orders=Orders(orders=OrderedExecutions(parts), database=database, blobs=blobs, owner=owner, tokens=tokens),
            outbox=Outbox(database=database, clock=clock, owner=owner, changed=lambda: None),
            hosts={host},
            sessions=Sessions(owner=owner),
            cleaning=Cleaning(cleaner=Cleaner(home=plane.home, database=database), owner=owner, clock=clock),
        )
    )


@pytest.fixture
def browser(plane, serve_http):
    """An HTTP client that has the console's cookie."""
    with serve_http(plane, console_app) as client:
        client.cookies.set("hydraflyte_console", console_key(TOKEN))
        yield client


class Page(HTMLParser):
    """What a browser makes of a page: the cells of its tables, its links, the names of its elements."""

    def __init__(self, answer):
        super().__init__()
        self.status, self.source = answer.status_code, answer.text
        self.rows, self.links, self.elements, self._cell = [], {}, set(), None
        self._href, self.dots = None, []
        self.forms, self._form = {}, {}
        self.feed(answer.text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        elif tag == "a":
            self._href = dict(attrs)["href"]
        elif tag == "form" and "action" in dict(attrs):
            self._form = self.forms.setdefault(dict(attrs)["action"].rpartition("/")[2], {})
        elif tag == "input":
            self._form[dict(attrs)["name"]] = dict(attrs)["value"]
        elif tag == "circle":
            self.dots.append((float(dict(attrs)["cx"]), float(dict(attrs)["cy"])))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None
        elif tag == "a":
            self._href = None

    def handle_data(self, data):
        if self._cell:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()
        if self._href:
            self.links[data.strip()] = self._href


@pytest.fixture
def visit(browser):
    """Give the page at a path, for a query with these names."""
    return lambda path, **query: Page(browser.get(path, params=query or None))


def number(value):
    return Literal(scalar=Scalar(primitive=Primitive(float_value=value)))


@pytest.fixture
def launch_plan(register):
    return register.everything()


@pytest.fixture
def job(plane, register, launch_plan):
    """Begin a job of a sweep; unless it is ``stuck`` it ends with the loss as its output."""

    def begin(sweep, job_number, *overrides, name="", loss=0.0, x=3, stuck=False, notes=None):
        plane.executor.outputs["double"] = LiteralMap(literals={"o0": number(loss)})
        plane.executor.stuck = {"double"} if stuck else set()
        identifier = register.execution(
            launch_plan,
            name,
            inputs={"x": Literal(scalar=Scalar(primitive=Primitive(integer=x)))},
            labels={"values": {SWEEP: sweep, JOB: str(job_number)}},
            annotations={"values": {OVERRIDES: join_overrides(overrides), **(notes or {})}},
        )
        if not stuck:
            plane.wait_until_ended(
                ExecutionId(project=identifier.project, domain=identifier.domain, name=identifier.name)
            )
        return identifier.name

    return begin


# sweeps


def names_in(page):
    return [row[-1] for row in page.rows[1:]]


def test_a_sweep_shows_its_jobs_with_what_tells_them_apart(visit, job):
    job("k3", 10, "lr=0.2", "seed=1", name="ten", loss=0.5)
    job("k3", 2, "lr=0.1", "seed=1", name="two", loss=0.25)
    job("other", 0, "lr=9")

    page = visit(f"{SWEEPS}/k3")

    header, *jobs = page.rows
    assert header == ["job", "lr", "phase", "duration", "o0", "execution"]
    assert [(row[0], row[1], row[2], row[4], row[5]) for row in jobs] == [
        ("2", "0.1", "SUCCEEDED", "0.25", "two"),
        ("10", "0.2", "SUCCEEDED", "0.5", "ten"),
    ]
    assert "seed=1" in page.source
    assert visit(page.links["two"]).links["k3"] == f"{SWEEPS}/k3"


def test_a_job_that_was_submitted_anew_counts_once(visit, job):
    job("k3", 0, "lr=0.1", name="first")
    job("k3", 0, "lr=0.1", name="again")
    job("k3", 1, "lr=0.2", name="other")

    page, sweeps = visit(f"{SWEEPS}/k3"), visit("/console/sweeps")

    assert [(row[0], row[-1]) for row in page.rows[1:]] == [("0", "again"), ("1", "other")]
    assert sweeps.rows[1][:5] == ["k3", "flytesnacks", "development", "2", "2 SUCCEEDED"]


def test_a_sweep_is_counted_by_phase_and_shown_anew_until_it_has_ended(plane, visit, job):
    job("k3", 0, "lr=0.1", name="done")
    job("k3", 1, "lr=0.2", name="open", stuck=True)

    running = next(page for page in (visit(f"{SWEEPS}/k3") for _ in range(200)) if "1 RUNNING" in page.links)
    only_done = visit(f"{SWEEPS}/k3" + running.links["1 SUCCEEDED"])
    plane.do(plane.executor.finish)
    plane.wait_until_ended(ExecutionId(project="flytesnacks", domain="development", name="open"))
    ended = visit(f"{SWEEPS}/k3")

    assert 'http-equiv="refresh"' in running.source
    assert names_in(only_done) == ["done"]
    assert "2 SUCCEEDED" in ended.links
    assert 'http-equiv="refresh"' not in ended.source


def test_sweeps_are_the_owners_alone(browser):
    browser.cookies.clear()

    assert browser.get("/console/sweeps").status_code == 401
    assert browser.get(f"{SWEEPS}/k3").status_code == 401


def test_there_is_no_page_for_a_sweep_that_nobody_began(visit):
    assert visit(f"{SWEEPS}/k3").status == 404
    assert "None yet" in visit("/console/sweeps").source


def test_labels_and_overrides_are_text_whatever_is_in_them(visit, job):
    notes = {"hydraflyte.org/command": f"python train.py {HOSTILE}", "hydraflyte.org/user": "ada", "other": "not noted"}
    name = job(HOSTILE, HOSTILE, f"{HOSTILE}={HOSTILE}", "same=1", notes=notes)
    job(HOSTILE, 1, "same=1")

    sweeps = visit("/console/sweeps")
    pages = [sweeps, visit(sweeps.links[HOSTILE]), visit("/console"), visit(f"{EXECUTIONS}/{name}")]

    for page in pages:
        assert page.status == 200
        assert HOSTILE in " ".join(cell for row in page.rows for cell in row) or HOSTILE in page.links
        assert "script" not in page.elements
    assert HOSTILE in pages[1].rows[0]
    noted = f"<dt>command</dt><dd>python train.py {HOSTILE}</dd>\n<dt>user</dt><dd>ada</dd>"
    assert noted in html.unescape(pages[3].source)
    assert "not noted" not in pages[3].source


def test_a_job_that_failed_says_why_and_has_no_outputs(plane, visit, job):
    job("k3", 0, "lr=0.1", name="good", loss=0.25)
    plane.executor.failing.add("double")
    job("k3", 1, "lr=0.2", name="bad")

    page = visit(f"{SWEEPS}/k3")

    assert page.rows[0] == ["job", "lr", "phase", "duration", "o0", "error", "execution"]
    assert page.rows[1][4:] == ["0.25", "", "good"]
    assert (page.rows[2][2], page.rows[2][4], page.rows[2][6]) == ("FAILED", "", "bad")
    assert page.rows[2][5].startswith("it went wrong it went wrong")


def test_ten_thousand_jobs_are_counted_and_shown_in_pages(plane, visit, job):
    job("k3", 0, "lr=0", name="job-0")
    multiply(plane, name="job-0", times=10_000)

    first, last, sweeps = visit(f"{SWEEPS}/k3"), visit(f"{SWEEPS}/k3?page=50"), visit("/console/sweeps")
    found, nothing = visit("/console", text="job-9999"), visit("/console", text="nowhere")

    assert [row[0] for row in first.rows[1:]] == [str(number) for number in range(200)]
    assert [row[0] for row in last.rows[1:]] == [str(number) for number in range(9800, 10_000)]
    assert "10000 SUCCEEDED" in first.links
    assert first.links["next"] == "?page=2"
    assert "next" not in last.links
    assert sweeps.rows[1][3] == "10000"
    assert names_on(found) == {"job-9999"}
    assert names_on(nothing) == set()


def test_jobs_are_compared_by_what_their_workflows_were_given(visit, job):
    job("k3", 0, "model=small", x=1, name="first")
    job("k3", 1, "model=big", x=2, name="second")

    by_overrides = visit(f"{SWEEPS}/k3")
    by_inputs = visit(f"{SWEEPS}/k3" + by_overrides.links["inputs"])

    assert [row[:2] for row in by_overrides.rows] == [["job", "model"], ["0", "small"], ["1", "big"]]
    assert [row[:2] for row in by_inputs.rows] == [["job", "x"], ["0", "1"], ["1", "2"]]


def test_a_number_that_jobs_return_is_drawn_by_job_or_by_what_tells_them_apart(visit, job):
    job("k3", 0, "lr=0.001", "model=a", loss=3.0)
    job("k3", 1, "lr=1.0", "model=b", loss=1.0)
    job("k3", 2, "lr=0.1", "model=a", loss=2.0)

    by_job = visit(f"{SWEEPS}/k3")
    by_rate = visit(f"{SWEEPS}/k3" + by_job.links["lr"])
    by_model = visit(f"{SWEEPS}/k3" + by_job.links["model"])

    assert by_job.dots == [(80, 15), (390, 270), (700, 142.5)]
    assert by_rate.dots == [(80, 15), (700, 270), (493.3, 142.5)]  # a thousandfold: by logarithms
    assert by_model.dots == [(80, 15), (700, 270), (80, 142.5)]
    assert "o0 by lr" in by_rate.source


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_shown_and_not_drawn(visit, job, loss):
    job("k3", 0, "lr=1", loss=loss)

    page = visit(f"{SWEEPS}/k3")

    assert page.status == 200
    assert "svg" not in page.elements
    assert page.rows[1][-2].lower().startswith(str(loss)[:3])


def test_an_address_that_asks_for_what_there_is_not_shows_the_usual(visit, job):
    job("k3", 0, "lr=1", loss=1.0)

    page = visit(f"{SWEEPS}/k3?page=-1&phase=&by={HOSTILE}&x={HOSTILE}&y=nothing")

    assert page.status == 200
    assert page.dots == [(390, 142.5)]
    assert "script" not in page.elements


# the list of executions


def names_on(page):
    return {row[0] for row in page.rows[1:]}


def test_executions_are_found_by_the_words_in_them(plane, visit, job):
    job("k3", 0, "lr=0.1", "model=big_one", name="first")
    job("k3", 1, "lr=0.2", "model=bigXone", name="second")
    plane.executor.failing.add("double")
    job("k4", 1, "+note='50% off'", name="third")

    def found(text):
        return names_on(visit("/console", text=text))

    assert found("lr=0.1") == {"first"}
    assert found("LR=0.") == {"first", "second"}
    assert found("model=big_one") == {"first"}
    assert found("50%") == {"third"}
    assert found("%") == {"third"}
    assert found("main") == {"first", "second", "third"}
    assert found("failed") == found("hydraflyte-sweep=k4") == {"third"}
    assert found("k3 succeeded seco") == {"second"}
    assert found("k3 failed") == found("\\") == found("hydraflyte.org/inputs") == set()


def test_a_search_is_asked_for_in_a_form_and_is_not_shown_anew_while_somebody_types(visit, job):
    job("k3", 0, name="open", stuck=True)

    listed = visit("/console")
    asked = visit("/console" + listed.links["search"])
    hostile = visit("/console", text=HOSTILE * 20)

    assert "form" not in listed.elements
    assert 'http-equiv="refresh"' in listed.source
    assert names_on(asked) == {"open"}
    assert {"form", "input"} <= asked.elements
    assert 'http-equiv="refresh"' not in asked.source
    assert "script" not in hostile.elements
    assert "No execution contains that." in hostile.source


def test_a_project_has_a_list_of_its_own(visit, job):
    job("k3", 0, name="here")

    assert names_on(visit("/console/projects/flytesnacks/executions")) == {"here"}
    assert names_on(visit("/console/projects/flytetester/executions")) == set()


# orders


@pytest.fixture
def order(browser, visit):
    """Press a button on an execution's page, perhaps with other values in its form; gives the answer."""

    def press(name, verb, *, headers=(), **changes):
        form = visit(f"{EXECUTIONS}/{name}").forms[verb]
        sent = {"Origin": str(browser.base_url).rstrip("/"), **dict(headers)}
        return browser.post(f"{EXECUTIONS}/{name}/{verb}", data={**form, **changes}, headers=sent)

    return press


def name_of(answer):
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].removeprefix(f"{EXECUTIONS}/")


def execution_of(admin, name):
    return admin.GetExecution(
        WorkflowExecutionGetRequest(id={"project": "flytesnacks", "domain": "development", "name": name})
    )


def test_an_execution_is_run_again_by_a_button(plane, admin, order, visit, job):
    plane.executor.failing.add("double")
    job("k3", 0, name="broken")
    assert set(visit(f"{EXECUTIONS}/broken").forms) == {"recover", "relaunch"}

    again, rest = name_of(order("broken", "relaunch")), name_of(order("broken", "recover"))

    assert [execution_of(admin, name).spec.metadata.mode for name in (again, rest)] == [
        ExecutionMetadata.RELAUNCH,
        ExecutionMetadata.RECOVERED,
    ]
    assert execution_of(admin, again).spec.metadata.reference_execution.name == "broken"
    assert names_on(visit("/console")) == {"broken", again, rest}
    assert names_in(visit(f"{SWEEPS}/k3")) == [rest]


def test_a_relaunch_may_be_given_other_inputs(plane, order, visit, job):
    job("k3", 0, x=3, name="first")
    assert visit(f"{EXECUTIONS}/first").forms["relaunch"]["input.x"] == "3"

    changed = name_of(order("first", "relaunch", **{"input.x": "4"}))
    no_number = order("first", "relaunch", **{"input.x": HOSTILE})

    assert '"x": 4' in html.unescape(visit(f"{EXECUTIONS}/{changed}").source)
    assert names_in(visit(f"{SWEEPS}/k3")) == ["first"]  # another value than the job's: no job any more
    assert no_number.status_code == 409
    assert no_number.text.startswith("x is integer, and ")
    assert no_number.headers["content-type"].startswith("text/plain")


def test_what_runs_is_ended_by_a_button(plane, browser, order, visit, job):
    job("k3", 0, name="open", stuck=True)
    assert set(visit(f"{EXECUTIONS}/open").forms) == {"terminate"}
    late = visit(f"{EXECUTIONS}/open").forms["terminate"]

    assert name_of(order("open", "terminate")) == "open"

    plane.wait_until_ended(ExecutionId(project="flytesnacks", domain="development", name="open"))
    assert "ABORTED" in visit(f"{EXECUTIONS}/open").source
    refused = browser.post(f"{EXECUTIONS}/open/terminate", data=late)
    assert refused.status_code == 409
    assert "has ended already" in refused.text


def test_nothing_is_done_for_a_form_that_is_not_the_pages_own(browser, order, visit, job):
    job("k3", 0, name="mine")
    job("k3", 1, name="other")
    elsewhere = visit(f"{EXECUTIONS}/other").forms["relaunch"]["token"]

    answers = [
        order("mine", "relaunch", token=""),
        order("mine", "relaunch", token="é"),
        order("mine", "relaunch", token=elsewhere),
        order("mine", "relaunch", headers={"Origin": "http://evil.example"}),
        order("mine", "relaunch", headers={"Origin": "null"}),
        browser.post(f"{EXECUTIONS}/mine/relaunch", content=b"x" * 2_000_000),
    ]
    again = name_of(order("mine", "relaunch"))
    browser.cookies.clear()
    stranger = browser.post(f"{EXECUTIONS}/mine/relaunch")

    assert [answer.status_code for answer in answers] == [403] * 6
    assert stranger.status_code == 401
    browser.cookies.set("hydraflyte_console", console_key(TOKEN))
    assert names_on(visit("/console")) == {"mine", "other", again}


def test_a_browser_says_where_a_form_comes_from(browser):
    headers = browser.get("/console").headers

    assert headers["referrer-policy"] == "same-origin"  # with no-referrer it would say `Origin: null`
    assert "form-action 'self'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]


@pytest.mark.parametrize("site", ["same-site", "cross-site"])  # the same site: another port of this machine
def test_only_links_of_other_pages_lead_here(browser, site):
    def answer(verb, path, mode):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        return browser.request(verb, path, headers=headers, follow_redirects=False).status_code

    assert answer("GET", "/logout", "no-cors") == 403  # an image that signs the owner out
    assert answer("GET", "/console", "no-cors") == 403  # a script whose loading tells what there is
    assert answer("POST", "/clean?older_than_s=1", "navigate") == 403
    assert answer("GET", "/console", "navigate") == 200


def nested(levels):
    tree = 1
    for _ in range(levels):
        tree = {"a": tree}
    return Literal(scalar=Scalar(binary=Binary(value=msgpack.packb(tree), tag="msgpack")))


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (nested(450), "more than 100 levels deep"),
        (Literal(scalar=Scalar(primitive=Primitive(string_value="s" * 3_000_000))), "are too many to show"),
    ],
    ids=["deep", "large"],
)
def test_outputs_that_a_page_cannot_bear_are_told_of(plane, visit, job, output, told):
    job("k3", 0, name="first")
    for stored in plane.parts.blobs.root.rglob("outputs.pb"):
        stored.write_bytes(LiteralMap(literals={"o0": output}).SerializeToString())

    pages = [visit(f"{EXECUTIONS}/first"), visit(f"{SWEEPS}/k3")]

    assert [page.status for page in pages] == [200, 200]
    assert all(told in page.source for page in pages)


def test_no_page_has_the_key_in_its_address_since_decks_learn_where_they_were_linked(browser):
    signed_in = browser.get(f"/console?text=a&key={console_key(TOKEN)}", follow_redirects=False)
    browser.cookies.clear()
    stranger = browser.get("/console?key=wrong", follow_redirects=False)

    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/console?text=a")
    assert stranger.status_code == 401


ENDLESS = "9" * 5_000  # more digits than Python reads
LOGS = "/logs/flytesnacks/development"


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", f"/notifications/{ENDLESS}/retry", 404),
        ("POST", f"/notifications/{'9' * 20}/retry", 404),
        ("GET", f"/notifications?limit={ENDLESS}", 400),
        ("GET", f"{LOGS}/e/n0/{ENDLESS}/stdout", 404),
        ("GET", f"{LOGS}/e/n0/0/token", 404),
        ("GET", f"{LOGS}/e/%2e%2e/0/stdout", 404),
        ("GET", f"{LOGS}/e/n0%00/0/stdout", 404),
        ("GET", f"{LOGS}/{'e' * 5_000}/n0/0/stdout", 404),
    ],
)
def test_an_address_that_nobody_prints_is_told_as_such(browser, verb, path, status):
    answer = browser.request(verb, path)
    browser.cookies.clear()
    stranger = browser.request(verb, path)

    assert (answer.status_code, stranger.status_code) == (status, 401)


def multiply(plane, *, name, times):
    """Store copies of an ended execution, as further jobs of its sweep."""

    def copy(connection):
        columns = [row["name"] for row in connection.execute("PRAGMA table_info(executions)")]
        kept = [column for column in columns if column not in ("id", "execution_name")]
        source = connection.execute("SELECT * FROM executions WHERE execution_name = ?", (name,)).fetchone()
        spec = ExecutionSpec.FromString(source["spec"])
        for number in range(1, times):
            spec.labels.values[JOB] = str(number)
            values = [spec.SerializeToString() if column == "spec" else source[column] for column in kept]
            row = connection.execute(
                f"INSERT INTO executions (execution_name, {', '.join(kept)}) VALUES (?{', ?' * len(kept)})",
                (f"job-{number}", *values),
            )
            connection.executemany(
                "INSERT INTO execution_tags VALUES (?, ?, ?)",
                [(row.lastrowid, key, value) for key, value in spec.labels.values.items()],
            )

    plane.parts.database.submit(copy).result(60)
