"""ticket.create and ticket.update over HTTP as Jira speaks it."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.errors import (
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.jira.provider import JiraTickets
from tests.fakes.jira_adf import faults_of
from tests.plugins.jira.support import (
    API,
    ISSUE,
    SITE,
    a_transition,
    an_issue,
    calls,
    doc,
    paragraph,
    sent,
)

Json = dict[str, Any]
Build = Callable[..., JiraTickets]
USERS = f"{API}/user/search"
ONE = f"{ISSUE}/OPS-1"
TRANSITIONS = f"{ONE}/transitions"
LONG = "word " * 60 + "end"


@pytest.fixture
def creating(http: requests_mock.Mocker) -> requests_mock.Mocker:
    """Jira creates OPS-1."""
    http.post(ISSUE, status_code=201, json={"id": "10001", "key": "OPS-1"})
    http.get(ONE, json=an_issue())
    return http


@pytest.fixture
def editing(http: requests_mock.Mocker) -> requests_mock.Mocker:
    """Jira has OPS-1 in To Do, and lets it be changed."""
    http.put(ONE, status_code=204)
    http.get(ONE, json=an_issue())
    http.post(TRANSITIONS, status_code=204)
    http.post(f"{ONE}/comment", status_code=201, json={"id": "1"})
    return http


def offer(http: requests_mock.Mocker, *transitions: Json) -> None:
    http.get(TRANSITIONS, json={"transitions": list(transitions)})


DONE = a_transition("31", "Finish", "Done", "done")


def fields_sent(http: requests_mock.Mocker, verb: str = "POST") -> Json:
    [request] = [r for r in http.request_history if r.method == verb]
    fields: Json = sent(request)["fields"]
    return fields


@pytest.mark.case("jira", 12)
def test_a_ticket_is_created(creating: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """With a valid document, labels and custom fields; then it is read."""
    payload = {
        "title": "Disk full",
        "description": "One\nline.\n\nTwo **bold**.",
        "fields": {"labels": ["db", "on call"], "customfield_10001": {"value": "x"}},
        "metadata": {"labels": "db, extra", "other": 1},
    }
    ticket = tickets_of().create(payload, call)
    assert (ticket["id"], ticket["url"]) == ("10001", f"{SITE}/browse/OPS-1")
    fields = fields_sent(creating)
    description = fields.pop("description")
    assert faults_of(description) == []
    assert len(description["content"]) == 2
    assert fields == {
        "project": {"key": "OPS"},
        "summary": "Disk full",
        "issuetype": {"name": "Task"},
        "labels": ["db", "on-call", "extra"],
        "customfield_10001": {"value": "x"},
    }
    assert calls(creating) == ["POST /issue", "GET /issue/OPS-1"]


def test_every_field_of_a_new_ticket(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Names become what Jira takes; people become account ids."""
    creating.get(USERS, json=[{"accountId": "acc-1", "active": True}])
    payload = {
        "title": " two\n lines ",
        "assignees": ["dev@example.com", "second"],
        "reporter": "acc-2",
        "fields": {
            "issueType": "Bug",
            "priority": "High",
            "labels": "a b,c, ,a b",
            "components": ["Web"],
            "fixVersions": ["1.0"],
            "assignee": "ignored",
            "parent": "ops-7",
            "dueDate": "2026-02-28",
            "project": "ops",
        },
    }
    tickets_of(defaultIssueType="Story").create(payload, call)
    assert sent(creating.request_history[1])["fields"] == {
        "project": {"key": "OPS"},
        "summary": "two lines",
        "issuetype": {"name": "Bug"},
        "priority": {"name": "High"},
        "labels": ["a-b", "c"],
        "components": [{"name": "Web"}],
        "fixVersions": [{"name": "1.0"}],
        "parent": {"key": "OPS-7"},
        "duedate": "2026-02-28",
        "assignee": {"accountId": "acc-1"},
        "reporter": {"accountId": "acc-2"},
    }


@pytest.mark.parametrize(
    ("payload", "assignee"),
    [
        ({"assignees": [], "fields": {"assignee": "a"}}, {"accountId": "a"}),
        ({"fields": {"assignee": "a", "assignees": ["b"]}}, {"accountId": "a"}),
        ({"fields": {"assignees": ["b", "c"]}}, {"accountId": "b"}),
        ({"assignees": [" "]}, None),
        ({"fields": {"assignee": None, "priority": None, "issueType": None}}, None),
    ],
)
def test_who_becomes_the_assignee(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json, assignee: Any
) -> None:
    """The first that is given."""
    tickets_of(defaultIssueType="Story").create({"title": "x", **payload}, call)
    fields = fields_sent(creating)
    assert fields.get("assignee") == assignee
    assert fields["issuetype"] == {"name": "Story"}
    assert "priority" not in fields and "description" not in fields


def test_a_title_too_long_for_jira_is_kept_whole(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """It is cut, and goes first into the description."""
    tickets_of().create({"title": LONG, "description": "body"}, call)
    fields = fields_sent(creating)
    assert len(fields["summary"]) == 255 and fields["summary"].endswith("…")
    assert fields["description"] == doc(paragraph(LONG), paragraph("body"))


@pytest.mark.case("jira", 13)
def test_a_created_ticket_that_cannot_be_read_is_no_failure(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """A failure would invite a second create."""
    creating.get(ONE, status_code=500)
    assert tickets_of().create({"title": "x"}, call) == {
        "id": "10001",
        "key": "OPS-1",
        "title": "x",
        "status": "unknown",
        "url": f"{SITE}/browse/OPS-1",
        "metadata": {"source": "jira", "partial": True},
    }
    assert calls(creating).count("POST /issue") == 1


@pytest.mark.case("jira", 14)
@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"fields": {"project": "OTHER"}}, "fields.project"),
        ({"fields": {"project": {"key": "OTHER"}}}, "fields.project"),
        ({"fields": {"summary": "x"}}, "fields.summary"),
        ({"fields": {"security": "x"}}, "fields.security"),
        ({"fields": {"customfield_x": "x"}}, "fields.customfield_x"),
        ({"fields": {"resolution": "Done"}}, "fields.resolution"),
        ({"fields": {"labels": [1]}}, "fields.labels"),
        ({"fields": {"labels": {"a": 1}}}, "fields.labels"),
        ({"fields": {"components": "Web"}}, "fields.components"),
        ({"fields": {"priority": 1}}, "fields.priority"),
        ({"fields": {"issueType": {"id": "1"}}}, "fields.issueType"),
        ({"fields": {"parent": "x"}}, "fields.parent"),
        ({"fields": {"parent": 1}}, "fields.parent"),
        ({"fields": {"dueDate": "2026-02-30"}}, "fields.dueDate"),
        ({"fields": {"dueDate": "20260228"}}, "fields.dueDate"),
        ({"fields": {"assignee": 1}}, "fields.assignee"),
        ({"assignees": "a"}, "assignees"),
        ({"metadata": {"labels": [1]}}, "metadata.labels"),
        ({"title": " "}, "title"),
        ({"title": None}, "title"),
        ({"description": 1}, "description"),
        ({"description": "[" * 50_000}, "description is too long"),
    ],
)
def test_an_unfit_ticket_is_refused_without_a_call(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json, named: str
) -> None:
    """The field is named."""
    with pytest.raises(BadRequest, match=named.replace(".", r"\.")):
        tickets_of().create({"title": "x", **payload}, call)
    assert creating.call_count == 0


def test_an_unknown_person_is_refused_before_the_write(
    creating: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The field is named, the address is not repeated."""
    creating.get(USERS, json=[])
    for payload, field in (
        ({"assignees": ["x@example.com"]}, "assignees"),
        ({"fields": {"assignee": "x@example.com"}}, "fields.assignee"),
        ({"reporter": "x@example.com"}, "reporter"),
    ):
        with pytest.raises(BadRequest, match=f"^{field}: no single active"):
            tickets_of().create({"title": "x", **payload}, call)
    assert set(calls(creating)) == {"GET /user/search"}


@pytest.mark.case("jira", 15)
@pytest.mark.parametrize(
    ("answer", "error", "retry_after", "unknown"),
    [
        ({"status_code": 429, "headers": {"Retry-After": "5"}}, RateLimited, 5, False),
        ({"exc": requests.exceptions.ReadTimeout}, UpstreamTimeout, None, True),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
            UpstreamUnreachable,
            None,
            False,
        ),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionResetError())},
            UpstreamUnreachable,
            None,
            True,
        ),
        ({"status_code": 408}, UpstreamTimeout, None, True),
        ({"status_code": 504}, UpstreamTimeout, None, True),
        ({"status_code": 500}, ProviderError, None, True),
        ({"status_code": 502}, ProviderError, None, True),
        ({"status_code": 503}, ProviderError, None, False),
        ({"status_code": 201, "text": "<html>"}, ProviderError, None, True),
        ({"status_code": 201, "json": {"id": "1"}}, ProviderError, None, True),
        ({"status_code": 400, "json": {"errors": {"labels": "bad"}}}, BadRequest, None, False),
    ],
)
def test_a_create_is_sent_once(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    answer: Json,
    error: type[OpsOrchError],
    retry_after: float | None,
    unknown: bool,
) -> None:
    """Whatever happens, and what is not known is said."""
    http.post(ISSUE, **answer)
    with pytest.raises(error) as failed:
        tickets_of().create({"title": "x"}, call)
    assert failed.type is error
    assert failed.value.retry_after_s == retry_after
    assert failed.value.outcome_unknown is unknown
    assert http.call_count == 1


@pytest.mark.case("jira", 16)
def test_fields_are_saved_before_the_status_changes(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """A closed issue is often read-only. The status is read first: it may be there already."""
    offer(editing, DONE)
    tickets_of().update({"id": "OPS-1", "input": {"title": "new", "status": "closed"}}, call)
    assert calls(editing) == [
        "GET /issue/OPS-1/transitions",
        "GET /issue/OPS-1",
        "PUT /issue/OPS-1",
        "POST /issue/OPS-1/transitions",
        "GET /issue/OPS-1",
    ]
    assert editing.request_history[0].qs == {"expand": ["transitions.fields"]}
    assert fields_sent(editing, "PUT") == {"summary": "new"}
    assert sent(editing.request_history[3]) == {"transition": {"id": "31"}}


def test_a_transition_from_one_status_needs_no_look(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """It proves that the issue is elsewhere."""
    offer(editing, DONE)
    tickets_of().update({"id": "OPS-1", "input": {"status": " done "}}, call)
    tickets_of().update({"id": "OPS-1", "input": {"status": "DONE"}}, call)
    tickets_of().update({"id": "OPS-1", "input": {"status": "finish"}}, call)
    assert calls(editing).count("POST /issue/OPS-1/transitions") == 3
    assert calls(editing)[-3:] == [
        "GET /issue/OPS-1/transitions",
        "POST /issue/OPS-1/transitions",
        "GET /issue/OPS-1",
    ]


@pytest.mark.case("jira", 17)
def test_a_status_out_of_reach_is_told_before_anything_is_written(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """With those that can be reached."""
    hidden = a_transition("9", "x", "Done", "done", isAvailable=False)
    offer(editing, a_transition("11", "Start", "In Progress", "indeterminate"), hidden)
    with pytest.raises(BadRequest, match=r"reachable: In Progress$"):
        tickets_of().update({"id": "OPS-1", "input": {"title": "x", "status": "closed"}}, call)
    offer(editing)
    with pytest.raises(BadRequest, match="reachable: nothing"):
        tickets_of().update({"id": "OPS-1", "input": {"status": "Nowhere"}}, call)
    assert {"PUT /issue/OPS-1", "POST /issue/OPS-1/transitions"}.isdisjoint(calls(editing))


@pytest.mark.parametrize("status", ["To Do", "todo", "open", "NEW"])
def test_a_status_that_is_there_already_is_no_change(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, status: str
) -> None:
    """By name or, for a word, by category; the rest of the update is done."""
    anywhere = a_transition("1", "Back", "To Do", "new", isGlobal=True)
    offer(editing, anywhere, a_transition("2", "Park", "Backlog", "new"))
    given = {"status": status, "title": "x", "fields": {"resolution": "Fixed"}}
    tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert "PUT /issue/OPS-1" in calls(editing)
    assert "POST /issue/OPS-1/transitions" not in calls(editing)


def test_the_transition_is_chosen_in_order(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The status' name first, then the transition's own, then the category."""
    first = a_transition("1", "Close", "Resolved", "done")
    second = a_transition("2", "Resolved", "Closed", "done")
    third = a_transition("3", "Drop", "Rejected", "done")
    for transitions, status, chosen in (
        ((second, first), "resolved", "1"),
        ((second, third), "resolved", "2"),
        ((third, second), "done", "3"),
    ):
        offer(editing, *transitions)
        tickets_of().update({"id": "OPS-1", "input": {"status": status}}, call)
        posted = [r for r in editing.request_history if r.method == "POST"]
        assert sent(posted[-1])["transition"]["id"] == chosen


RESOLUTION = {"required": True, "name": "Resolution"}


def test_the_resolution_goes_with_the_transition(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Only where its screen has it."""
    given = {"status": "Done", "fields": {"resolution": "Fixed"}}
    offer(editing, {**DONE, "fields": {"resolution": RESOLUTION}})
    tickets_of().update({"id": "OPS-1", "input": given}, call)
    body = {"transition": {"id": "31"}, "fields": {"resolution": {"name": "Fixed"}}}
    assert sent(editing.request_history[-2]) == body
    offer(editing, DONE)
    tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert "fields" not in sent(editing.request_history[-2])
    assert "no resolution" in caplog.text


def test_required_fields_without_a_value_are_named(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Not those that have a default, a value given now, or one that the issue has."""
    screen = {
        "resolution": RESOLUTION,
        "customfield_1": {"required": True, "name": "Cause"},
        "customfield_2": {"required": True, "name": "Team"},
        "fixVersions": {"required": True, "name": "Fix versions"},
        "priority": {"required": True, "hasDefaultValue": True},
        "summary": {"required": True},
        "duedate": {"required": False},
    }
    offer(editing, {**DONE, "fields": screen})
    editing.get(ONE, json=an_issue(customfield_2="core", customfield_1=None))
    given: Json = {"status": "Done", "fields": {"fixVersions": ["1.0"]}}
    with pytest.raises(BadRequest, match=r"resolution \(Resolution\), customfield_1 \(Cause\);"):
        tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert not [r for r in editing.request_history if r.method in ("PUT", "POST")]
    given["fields"] |= {"resolution": {"id": "1"}, "customfield_1": "x"}
    tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert sent(editing.request_history[-2])["fields"] == {
        "resolution": {"id": "1"},
        "customfield_1": "x",
        "fixVersions": [{"name": "1.0"}],
    }


@pytest.mark.case("jira", 18)
def test_what_is_emptied_is_cleared(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """No assignee, no description, no list entries; null clears, too."""
    bag: Json = {
        "labels": [],
        "components": [],
        "dueDate": None,
        "parent": None,
        "fixVersions": None,
    }
    given = {"assignees": [], "description": "", "fields": {**bag, "issueType": None}}
    tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert fields_sent(editing, "PUT") == {
        "assignee": None,
        "description": None,
        "labels": [],
        "components": [],
        "fixVersions": [],
        "duedate": None,
        "parent": None,
    }
    assert calls(editing) == ["PUT /issue/OPS-1", "GET /issue/OPS-1"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        None,
        {"assignees": None, "title": None, "description": None, "status": ""},
        {"fields": {}},
    ],
)
def test_nothing_to_change_only_reads(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, given: Any
) -> None:
    """One GET."""
    assert tickets_of().update({"id": "OPS-1", "input": given}, call)["key"] == "OPS-1"
    assert calls(editing) == ["GET /issue/OPS-1"]


def test_an_update_takes_one_assignee(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """More are dropped, and that is said on stderr."""
    tickets_of().update({"id": "OPS-1", "input": {"assignees": ["a", "b", "c"]}}, call)
    assert fields_sent(editing, "PUT") == {"assignee": {"accountId": "a"}}
    assert "2 more dropped" in caplog.text


def test_a_long_title_goes_before_the_description_that_is_there(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """What Jira alone can write, such as media, stays as it is."""
    media = {"type": "mediaSingle", "content": [{"type": "media", "attrs": {"id": "1"}}]}
    editing.get(ONE, json=an_issue(description=doc(media)))
    tickets_of().update({"id": "OPS-1", "input": {"title": LONG}}, call)
    assert fields_sent(editing, "PUT")["description"] == doc(paragraph(LONG), media)
    assert editing.request_history[0].qs == {"fields": ["description"]}


COMMENT = {"status": "Done", "metadata": {"comment": "Fixed by **restart**"}}


def test_a_comment_goes_with_the_transition(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Or by itself, where there is none, or where it has no screen and would drop it."""
    offer(editing, DONE)
    tickets_of().update({"id": "OPS-1", "input": COMMENT}, call)
    document = sent(editing.request_history[-2])["update"]["comment"][0]["add"]["body"]
    assert faults_of(document) == []
    assert "POST /issue/OPS-1/comment" not in calls(editing)
    offer(editing, {**DONE, "hasScreen": False})
    tickets_of().update({"id": "OPS-1", "input": COMMENT}, call)
    assert calls(editing)[-3:] == [
        "POST /issue/OPS-1/transitions",
        "POST /issue/OPS-1/comment",
        "GET /issue/OPS-1",
    ]
    assert "update" not in sent(editing.request_history[-3])
    assert sent(editing.request_history[-2]) == {"body": document}
    tickets_of().update({"id": "OPS-1", "input": {"metadata": {"comment": "x"}}}, call)
    assert calls(editing)[-2:] == ["POST /issue/OPS-1/comment", "GET /issue/OPS-1"]


def test_a_failed_transition_says_that_the_fields_were_saved(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """409 is the caller's to mend, too; nothing is sent twice."""
    offer(editing, DONE)
    body = {"errorMessages": ["conflict"]}
    for status, error in ((409, BadRequest), (400, BadRequest), (500, ProviderError)):
        editing.post(TRANSITIONS, status_code=status, json=body)
        with pytest.raises(error, match=r"conflict.*\(saved before it: fields\)"):
            tickets_of().update({"id": "OPS-1", "input": {"title": "x", "status": "Done"}}, call)
    assert calls(editing).count("POST /issue/OPS-1/transitions") == 3


def test_a_failed_comment_says_what_was_saved(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Fields and status."""
    offer(editing, {**DONE, "hasScreen": False})
    editing.post(f"{ONE}/comment", status_code=403)
    with pytest.raises(OpsOrchError, match=r"\(saved before it: fields, status\)"):
        tickets_of().update({"id": "OPS-1", "input": {"title": "x", **COMMENT}}, call)


def test_an_update_that_cannot_be_read_back_says_that_it_was_saved(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The failure is told as such."""
    editing.get(ONE, status_code=500)
    with pytest.raises(ProviderError, match="the change was saved"):
        tickets_of().update({"id": "OPS-1", "input": {"title": "x"}}, call)


@pytest.mark.parametrize("status", [409, 404, 400])
def test_a_failed_edit_stops_the_update(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, status: int
) -> None:
    """The status stays as it is; 409 is the caller's to mend only for a transition."""
    offer(editing, DONE)
    editing.put(ONE, status_code=status)
    error = {409: ProviderError, 404: NotFound, 400: BadRequest}[status]
    with pytest.raises(error) as failed:
        tickets_of().update({"id": "OPS-1", "input": {"title": "x", "status": "Done"}}, call)
    assert failed.type is error
    assert "saved" not in failed.value.message
    assert "POST /issue/OPS-1/transitions" not in calls(editing)


def test_a_resolution_needs_a_status(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Jira sets it in a transition only."""
    for bag in ({"resolution": "Fixed"}, {"resolution": 1}):
        with pytest.raises(BadRequest, match="resolution"):
            tickets_of().update({"id": "OPS-1", "input": {"fields": bag}}, call)
    offer(editing, DONE)
    given = {"status": "Done", "fields": {"resolution": 1}}
    with pytest.raises(BadRequest, match=r"fields\.resolution must be"):
        tickets_of().update({"id": "OPS-1", "input": given}, call)
    long = {"metadata": {"comment": "x" * 50_000}}
    for given in ({"title": " "}, {"metadata": {"comment": 1}}, {"fields": {"bogus": 1}}, long):
        with pytest.raises(BadRequest):
            tickets_of().update({"id": "OPS-1", "input": given}, call)
    assert not [r for r in editing.request_history if r.method in ("PUT", "POST")]


@pytest.mark.parametrize("body", [{}, {"transitions": {}}, []])
def test_an_answer_without_transitions_is_none(
    editing: requests_mock.Mocker, tickets_of: Build, call: Call, body: Any
) -> None:
    """Nothing is written."""
    editing.get(TRANSITIONS, json=body)
    with pytest.raises(ProviderError, match="unexpected response"):
        tickets_of().update({"id": "OPS-1", "input": {"title": "x", "status": "Done"}}, call)
    assert calls(editing) == ["GET /issue/OPS-1/transitions"]
