"""Plan files: what they mean, and every problem with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.runbooks import yamltree
from opsorch.runbooks.planfile import MAX_PROBLEMS, MAX_STEPS, PlanInvalid, parse_plan
from opsorch.runbooks.plans import Plan
from tests.runbooks.support import plan_text, plan_with

FULL = b"""\
id: p-1
title: Full
description: |
  Two lines
  of text
version: 1.10
service: svc-a
team: on
environment: 2026-01-01
tags: {tier: 1, on: yes, "2": 3.50}
url: https://example.test/p
fields: {n: 1, x: 1.5, yes: on, d: 2026-01-01, t: true, z: ~, deep: [0x10, "1", 0o7, -.5, null]}
metadata: {a: {b: False}}
steps:
  - id: one
    title: 007
  - id: two
    title: Two
    type: automated
    description: d
    reasoning: r
    dependsOn: [one, one]
    exec:
      image: i:1.10
      command: [sh, -c]
      args: [1, 2.0, yes]
      env: {PORT: 0800, API_KEY: k}
      timeoutSeconds: 90
      retries: 5
      onLost: retry
    optional: yes
    fields: {k: v}
    metadata: {m: 1}
"""


def problems(source: bytes, file: str = "p.yaml") -> list[str]:
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(source, file)
    assert caught.value.code == "invalid_config"
    assert caught.value.message.startswith(f"plan file {file}: ")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.case("orchestration", 13)
def test_texts_keep_their_source():
    plan = parse_plan(FULL, "x.yaml")
    assert (plan.version, plan.team, plan.environment) == ("1.10", "on", "2026-01-01")
    assert plan.tags == {"tier": "1", "on": "yes", "2": "3.50"}
    assert plan.description == "Two lines\nof text\n"
    one, two = plan.steps
    assert (one.title, one.type, one.optional) == ("007", "manual", False)
    assert two.exec.args == ("1", "2.0", "yes")
    assert two.exec.env == {"PORT": "0800", "API_KEY": "k"}


def test_fields_and_metadata_hold_resolved_values():
    plan = parse_plan(FULL, "x.yaml")
    assert plan.fields == {
        "n": 1,
        "x": 1.5,
        "yes": "on",
        "d": "2026-01-01",
        "t": True,
        "z": None,
        "deep": [16, "1", 7, -0.5, None],
    }
    assert plan.metadata == {"a": {"b": False}}


def test_a_step_has_all_that_the_file_says():
    two = parse_plan(FULL, "x.yaml").steps[1]
    assert (two.depends_on, two.optional, two.reasoning) == (("one",), True, "r")
    assert (two.exec.timeout_s, two.exec.retries, two.exec.on_lost) == (90, 5, "retry")
    assert two.shown_fields() == {
        "k": "v",
        "reasoning": "r",
        "exec": {
            "image": "i:1.10",
            "command": ["sh", "-c"],
            "args": ["1", "2.0", "yes"],
            "env": {"PORT": "0800", "API_KEY": "***"},
            "timeoutSeconds": 90,
            "onLost": "retry",
            "retries": 5,
        },
        "automated": True,
    }


def test_a_snapshot_gives_the_plan_back():
    plan = parse_plan(FULL, "x.yaml").with_origin(file="x.yaml", commit="")
    assert plan.origin == {"file": "x.yaml"}
    assert Plan.from_snapshot(plan.snapshot()) == plan


def test_the_id_is_the_stem_of_the_file_unless_given():
    steps = "- {id: a, title: A}"
    assert parse_plan(plan_text(steps), "plan-x.y.yml").id == "plan-x.y"
    assert parse_plan(plan_text(steps, "id: 7"), "plan-x.yml").id == "7"
    assert "line 1: id '-x' must be" in problems(plan_text(steps), "-x.yaml")[0]


def test_anchors_and_aliases_are_read():
    plan = parse_plan(plan_text("- &s {id: a, title: &t A}\n- {id: b, title: *t}"), "p.yaml")
    assert [step.title for step in plan.steps] == ["A", "A"]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("dependson: x", "line 5: unknown key 'dependson'; use one of id, title, description"),
        ("title: again", "line 5: key 'title' is repeated; it stands in line 1 already"),
        ("version: [1]", "line 5: version must be a text"),
        ("tags: [a]", "line 5: tags must be a mapping of texts"),
        ("tags: {a: [b]}", "line 5: tags.a must be a text"),
        ("tags: {a: b, a: c}", "line 5: key 'a' is repeated"),
        ("fields: 5", "line 5: fields must be a mapping"),
        ("fields: {a: .inf}", "line 5: '.inf' is a number that JSON has not"),
        ("fields: {a: [-.NaN]}", "line 5: '-.NaN'"),
        ("fields: {a: 1e999}", "line 5: '1e999' is a number that JSON has not"),
        ("fields: {? [a] : 1}", "line 5: a key must be a text"),
        ("id: a/b", "line 5: id 'a/b' must be at most 128 letters"),
        ("id: a..b", "line 5: id 'a..b' must be"),
        ("? {a: 1}\n: 2", "line 5: a key must be a text"),
    ],
)
def test_a_problem_of_a_plan_has_its_line(head, found):
    if "NaN" in head:
        head = head.replace("-.NaN", ".NaN")
        found = found.replace("-.NaN", ".NaN")
    (problem,) = problems(plan_text("- {id: a, title: A}", head))
    assert problem.startswith(found)


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("- {id: a}", "line 7: step a: title is required"),
        ("- {title: A}", "line 7: step 1: id is required"),
        ("- {id: ' ', title: A}", "line 7: step 1: id must not be blank"),
        ("- {id: a, title: }", "line 7: step a: title must not be blank"),
        ("- {id: a, title: [A]}", "line 7: step a: title must be a text"),
        ("- {id: -a, title: A}", "line 7: step 1: id '-a' must be at most 128"),
        ("- id: a\n  title: A\n- id: a\n  title: B", "line 9: step a: the id stands in line 7"),
        ("- {id: a, title: A, type: job}", "line 7: step a: type 'job' is unknown; use one of man"),
        ("- {id: a, title: A, exec: {image: i}}", "line 7: step a: exec is not allowed in a step"),
        ("- {id: a, title: A, type: automated}", "line 7: step a: exec is required in a step of"),
        ("- {id: a, title: A, type: verify, exec: {}}", "line 7: step a: exec: image is required"),
        ("- {id: a, title: A, type: verify, exec: i}", "line 7: step a: exec: must be a mapping"),
        ("- {id: a, title: A, dependsOn: b}", "line 7: step a: dependsOn must be a list of texts"),
        ("- {id: a, title: A, dependsOn: [[b]]}", "line 7: step a: dependsOn must be a list of"),
        ("- {id: a, title: A, dependsOn: [b]}", "line 7: step a: dependsOn names 'b', no step of"),
        ("- {id: a, title: A, dependsOn: [a]}", "line 7: step a: dependsOn goes round in a cycle"),
        ("- {id: a, title: A, optional: maybe}", "line 7: step a: optional must be true or false"),
        ("- text", "line 7: step 1: must be a mapping"),
    ],
)
def test_a_problem_of_a_step_has_its_line(steps, found):
    listed = problems(plan_text(steps))
    assert any(problem.startswith(found) for problem in listed), listed
    assert len(listed) == 1 or steps == "- text"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("timeoutSeconds: 0", "timeoutSeconds must be a whole number between 1 and 86400"),
        ("timeoutSeconds: 1.5", "timeoutSeconds must be a whole number"),
        ("retries: 6", "retries must be a whole number between 0 and 5"),
        ("retries: [1]", "retries must be a whole number"),
        ("onLost: hope", "onLost 'hope' is unknown; use one of fail, retry"),
        ("env: {A: {}}", "env.A must be a text"),
        ("cmd: [a]", "unknown key 'cmd'; use one of image, command, args"),
    ],
)
def test_a_problem_of_exec_has_its_line(keys, found):
    steps = f"- id: a\n  title: A\n  type: invoke\n  exec:\n    image: i\n    {keys}"
    (problem,) = problems(plan_text(steps))
    assert problem.startswith(f"line 12: step a: exec: {found}")


def test_all_problems_of_a_file_are_in_one_message_in_order_of_lines():
    steps = "- {id: a, title: A, dependsOn: [x]}\n- {id: b, type: verb}\n- {id: b, title: B}"
    source = b"bogus: 1\n" + plan_text(steps).replace(b"team: team-a", b"team: ''")
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(source, "p.yaml")
    assert [problem.line for problem in caught.value.problems] == [1, 4, 8, 9, 9, 10]
    assert caught.value.message.count("; line ") == 5


def test_a_cycle_names_its_steps_in_order_each_depending_on_the_next():
    steps = (
        "- {id: a, title: A, dependsOn: [c]}\n- {id: b, title: B, dependsOn: [a]}\n"
        "- {id: c, title: C, dependsOn: [b]}\n- {id: d, title: D, dependsOn: [e]}\n"
        "- {id: e, title: E, dependsOn: [d, a]}"
    )
    assert problems(plan_text(steps)) == [
        "line 7: step a: dependsOn goes round in a cycle: a -> c -> b -> a",
        "line 10: step d: dependsOn goes round in a cycle: d -> e -> d",
    ]


def test_many_cycles_are_not_listed_without_end():
    ids = [f"s{n}" for n in range(8)]
    steps = "\n".join(f"- {{id: {i}, title: T, dependsOn: [{', '.join(ids)}]}}" for i in ids)
    assert 1 < len(problems(plan_text(steps))) <= 10


def test_a_required_step_may_not_depend_on_an_optional_one_but_an_optional_may():
    a = "- {id: a, title: A, optional: true}\n"
    assert problems(plan_text(a + "- {id: b, title: B, dependsOn: [a]}")) == [
        "line 8: step b: a required step may not depend on the optional step a"
    ]
    parse_plan(plan_text(a + "- {id: b, title: B, dependsOn: [a], optional: on}"), "p.yaml")


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("[]", "line 6: steps must have at least one step"),
        ("~", "line 6: steps must have at least one step"),
        ("x", "line 7: steps must be a list"),
        ("[" + "{id: a}," * (MAX_STEPS + 1) + "]", "line 6: steps must be at most 500"),
    ],
)
def test_steps_are_a_list_of_one_to_five_hundred(steps, found):
    assert problems(plan_text(f"  {steps}")) == [found]


def test_a_flood_of_problems_is_cut():
    steps = "\n".join("- {id: a, title: A, x: 1}" for _ in range(MAX_STEPS))
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(plan_text(steps), "p.yaml")
    assert len(caught.value.problems) == 999
    assert caught.value.message.endswith(f"; and {999 - MAX_PROBLEMS} more")


@pytest.mark.case("orchestration", 12)
@pytest.mark.parametrize(
    ("source", "found"),
    [
        (b"", "must be a YAML mapping"),
        (b"# nothing\n", "must be a YAML mapping"),
        (b"\n- a", "line 2: must be a YAML mapping"),
        (b"a: [1\nb: 2\n", "line 2: no YAML: while parsing a flow sequence did not find expected"),
        (b"a: 1\n---\nb: 2\n", "line 2: no YAML: expected a single document"),
        (b"a: *nobody\n", "line 1: no YAML: found undefined alias"),
        (b"a: \xff\n", "line 1: is not UTF-8"),
        (b"a: \x01\n", "no YAML: it holds characters that YAML forbids"),
        (b'a: "\\0"\n', "line 1: a text holds NUL or half a character"),
        (b"a: !!python/object:os.system x\n", "line 1: the tag tag:yaml.org,2002:python/object:os"),
        (b"a: 1\nb: !mine 2\n", "line 2: the tag !mine is not allowed"),
        (b"a: &a [*a]\n", "line 1: an alias contains itself"),
        (b"\n" + b"[" * 60 + b"]" * 60, "line 2: nested deeper than 50"),
        (b"[" * 100_000, "line 1: no YAML: while increasing flow level exceeded maximum"),
        (b"a: " + b"x" * 1024 * 1024, "larger than 256 KiB"),
    ],
)
def test_what_is_no_plan_at_all_is_one_problem(source, found):
    (problem,) = problems(source)
    assert problem.startswith(found)


def test_aliases_expand_a_thousand_times_at_most():
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c, *%c]\n" % (n + 1, n + 1, n, n, n) for n in range(97, 110)
    )
    assert problems(bomb)[0].endswith("more than 1000 alias expansions")
    deep = b"x0: &x0 [a]\n" + b"".join(b"x%d: &x%d [*x%d]\n" % (n, n, n - 1) for n in range(1, 99))
    assert problems(deep)[0].endswith("nested deeper than 50")


def test_standard_tags_are_read():
    assert parse_plan(plan_text("- {id: a, title: !!str 5}"), "p.yaml").steps[0].title == "5"


def test_a_byte_order_mark_is_no_fault():
    assert parse_plan(b"\xef\xbb\xbf" + plan_text("- {id: a, title: A}"), "p.yaml").id == "p"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")))
def test_no_content_raises_anything_but_plan_invalid(source):
    with pytest.raises(PlanInvalid):
        parse_plan(source, "p.yaml")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0xFFFF), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(
                st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0xFFFF), max_size=9
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_a_bag_written_as_json_is_read_as_the_same_values(value):
    # YAML forbids a few characters that JSON allows; json escapes all beyond ASCII.
    plan = plan_with({"id": "a"}, fields={"bag": value})
    assert plan.fields == {"bag": value}


def test_the_slow_loader_reads_the_same(monkeypatch):
    import yaml

    fast = parse_plan(FULL, "x.yaml")
    monkeypatch.setattr(yamltree, "_Loader", yaml.SafeLoader)
    assert parse_plan(FULL, "x.yaml") == fast
    assert problems(b"[" * 5000) == ["line 1: nested deeper than 50"]
    assert problems(b'a: "\\ud800"\n') == ["line 1: a text holds NUL or half a character"]
