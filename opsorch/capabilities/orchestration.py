"""Orchestration: plans (runbooks, playbooks, releases) and their runs."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import IGNORED, many, one
from opsorch.capabilities.spec import (
    READ,
    WRITE,
    Capability,
    Operation,
    params_and_body,
    params_only,
)

OrchestrationPlanQuery = f.shape(
    "OrchestrationPlanQuery",
    query=f.Text(help="Words to look for."),
    scope=f.scope(),
    tags=f.TextMap(),
    limit=f.limit(),
    metadata=f.Bag(),
)

OrchestrationStep = f.shape(
    "OrchestrationStep",
    id=f.Text(always=True),
    title=f.Text(always=True),
    type=f.Text(),
    description=f.Text(),
    dependsOn=f.Texts(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

OrchestrationPlan = f.shape(
    "OrchestrationPlan",
    id=f.Text(always=True),
    title=f.Text(always=True),
    description=f.Text(),
    steps=f.Many(OrchestrationStep, always=True),
    url=f.Text(),
    version=f.Text(),
    tags=f.TextMap(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

OrchestrationRunQuery = f.shape(
    "OrchestrationRunQuery",
    query=f.Text(help="Words to look for."),
    statuses=f.Texts(help="Any of these statuses."),
    planIds=f.Texts(help="Runs of any of these plans."),
    scope=f.scope(),
    limit=f.limit(),
    metadata=f.Bag(),
)

StepState = f.shape(
    "StepState",
    stepId=f.Text(always=True),
    status=f.Text(always=True),
    actor=f.Text(),
    note=f.Text(),
    startedAt=f.Time(),
    finishedAt=f.Time(),
    updatedAt=f.Time(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

OrchestrationRun = f.shape(
    "OrchestrationRun",
    id=f.Text(always=True),
    planId=f.Text(always=True),
    plan=f.One(OrchestrationPlan),
    status=f.Text(always=True),
    scope=f.One(f.Scope, always=True),
    steps=f.Many(StepState, always=True),
    createdAt=f.Time(always=True),
    updatedAt=f.Time(always=True),
    url=f.Text(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

StartRunInput = f.shape("StartRunInput", planId=f.needed(help="Id of the plan."))

CompleteStepInput = f.shape(
    "CompleteStepInput",
    actor=f.Text(help="Who did it."),
    note=f.Text(help="What came of it."),
)

CAPABILITY = Capability(
    name="orchestration",
    plural="orchestrations",
    summary="Plans and their runs.",
    operations=(
        Operation(
            "orchestration.plans.query",
            "POST",
            "/orchestration/plans/query",
            body=OrchestrationPlanQuery,
            empty_body=True,
            result=many(OrchestrationPlan),
            kind=READ,
            audit="orchestration.plans.query",
            summary="Find plans.",
        ),
        Operation(
            "orchestration.plans.get",
            "GET",
            "/orchestration/plans/{planId}",
            arrange=params_only,
            result=one(OrchestrationPlan),
            kind=READ,
            audit="orchestration.plans.get",
            summary="Get one plan.",
        ),
        Operation(
            "orchestration.runs.query",
            "POST",
            "/orchestration/runs/query",
            body=OrchestrationRunQuery,
            empty_body=True,
            result=many(OrchestrationRun),
            kind=READ,
            audit="orchestration.runs.query",
            summary="Find runs.",
        ),
        Operation(
            "orchestration.runs.get",
            "GET",
            "/orchestration/runs/{runId}",
            arrange=params_only,
            result=one(OrchestrationRun),
            kind=READ,
            audit="orchestration.runs.get",
            summary="Get one run with its steps.",
        ),
        Operation(
            "orchestration.runs.start",
            "POST",
            "/orchestration/runs",
            body=StartRunInput,
            result=one(OrchestrationRun),
            status=201,
            kind=WRITE,
            audit="orchestration.runs.start",
            summary="Start a run of a plan.",
        ),
        Operation(
            "orchestration.runs.steps.complete",
            "POST",
            "/orchestration/runs/{runId}/steps/{stepId}/complete",
            body=CompleteStepInput,
            empty_body=True,
            arrange=params_and_body,
            result=IGNORED,
            kind=WRITE,
            audit="orchestration.runs.steps.complete",
            summary="Complete a step by hand.",
        ),
    ),
)
