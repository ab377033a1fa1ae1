"""A client of W&B's stand-in without an SDK and without a socket."""

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.runtime.clock import Clock
from sandbox.runtime.http import Call, Reply, ServiceError
from sandbox.runtime.server import _find
from sandbox.scenario.wandb import WandbScript
from sandbox.wandb.runs import Run
from sandbox.wandb.service import Wandb
from sandbox.wandb.store import Store

KEY = "k" * 40
OLD = {
    "entity": "acme",
    "project": "p",
    "id": "old",
    "user": "ann",
    "config": {"lr": 1},
    "history": [{"loss": 2}, {"loss": 1}],
    "age": 3600,
}
WORLD: dict[str, Any] = {
    "users": [{"username": "ann", "default_entity": "acme", "keys": [KEY]}],
    "teams": [{"name": "acme", "members": {"ann": "member"}}],
    "runs": [OLD],
}

UPSERT = """mutation UpsertBucket($id: String, $name: String, $project: String = "p", $display: String, $group: String,
    $jobType: String, $tags: [String!], $config: JSONString, $summary: JSONString) {
  upsertBucket(input: {entityName: "acme", modelName: $project, id: $id, name: $name, displayName: $display,
      groupName: $group, jobType: $jobType, tags: $tags, config: $config, summaryMetrics: $summary}) {
    inserted bucket { id name state historyLineCount project { name } } } }"""
RESUME = """query RunResumeStatus($name: String!, $project: String = "p") {
  model(name: $project, entityName: "acme") { bucket(name: $name, missingOk: true) {
    state createdAt heartbeatAt config summaryMetrics historyLineCount historyTail wandbConfig(keys: ["t"]) } } }"""
RUNS = """query Runs($after: String, $first: Int, $order: String = "+created_at", $filters: JSONString) {
  project(name: "p", entityName: "acme") { runs(after: $after, first: $first, order: $order, filters: $filters) {
    edges { node { name state config summaryMetrics historyLineCount } cursor } pageInfo { endCursor hasNextPage } } } }"""


class Client:
    """Calls the service's handlers as the server does."""

    def __init__(self, **script: Any) -> None:
        self.clock = Clock()
        self.service = Wandb(WandbScript.model_validate({**WORLD, **script}).build(self.clock))
        self.authorization = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()

    @property
    def store(self) -> Store:
        return self.service.store

    def run(self, run_id: str = "old", project: str = "p") -> Run:
        return self.store.run("acme", project, run_id)

    def call(self, method: str, url: str, body: bytes = b"", authorization: str | None = None) -> Reply:
        parts = urlsplit(url)
        headers = {"authorization": authorization} if authorization else {}
        query = {key.lower(): value for key, value in parse_qsl(parts.query)}
        call = Call(method, parts.netloc or "api.wandb.ai", parts.path, query, headers, body)
        found = _find(self.service, call)
        if found is None:
            return self.service.unknown(call)
        operation, params = found
        try:
            call = replace(call, params=params)
            return operation.handle(replace(call, caller=self.service.authenticate(call)))
        except ServiceError as refused:
            return refused.reply

    def graphql(self, query: str, **variables: Any) -> tuple[int, Any]:
        body = json.dumps({"query": query, "variables": variables, "operationName": ""}).encode()
        reply = self.call("POST", "/graphql", body, self.authorization)
        return reply.status, reply.body

    def data(self, query: str, **variables: Any) -> Any:
        status, body = self.graphql(query, **variables)
        assert status == 200, body
        return body["data"]

    def upsert(self, **variables: Any) -> Any:
        return self.data(UPSERT, **variables)["upsertBucket"]

    def resume_status(self, name: str = "old", project: str = "p") -> Any:
        return self.data(RESUME, name=name, project=project)["model"]["bucket"]

    def listing(self, **variables: Any) -> Any:
        return self.data(RUNS, **variables)["project"]["runs"]

    def listed(self, **variables: Any) -> list[str]:
        return [edge["node"]["name"] for edge in self.listing(**variables)["edges"]]

    def stream(self, run_id: str, *, project: str = "p", **post: Any) -> Reply:
        body = json.dumps(post).encode()
        return self.call("POST", f"/files/acme/{project}/{run_id}/file_stream", body, self.authorization)

    def rows(self, offset: int, *steps: int, run_id: str = "old") -> int:
        """Post rows at an offset; the status."""
        lines = [json.dumps({"_step": step}) for step in steps]
        return self.stream(run_id, files={"wandb-history.jsonl": {"offset": offset, "content": lines}}).status
