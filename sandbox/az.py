"""The `az` on the sandbox's PATH: signed in as the scenario's person, it gives tokens, assigns roles and deploys the template.

It stands for a person's earlier `az login`, so that nobody has to install 700 MB. A real azure-cli works in the sandbox too,
called by its path and signed in by itself. Plain standard library, as it starts for every token.
"""

import argparse
import json
import os
import sys
import uuid
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener, urlopen

_ARM = "https://management.azure.com"
_VERSION = "api-version=2022-04-01"
_DEPLOYMENTS = "api-version=2025-04-01"
_OPTIONS = "resource tenant scope assignee-object-id assignee-principal-type role name output subscription"
_KNOWN = "account get-access-token, role assignment create, role assignment list, deployment group create"


def main(argv: list[str]) -> int:
    """Run a supported command; refuse any other."""
    try:
        if argv[:2] == ["account", "get-access-token"]:
            sys.stdout.write(_token(_options(argv[2:])))
        elif argv[:3] == ["role", "assignment", "create"]:
            sys.stdout.write(json.dumps(_create(_options(argv[3:])), indent=2) + "\n")
        elif argv[:3] == ["role", "assignment", "list"]:
            sys.stdout.write(json.dumps(_list(_options(argv[3:])), indent=2) + "\n")
        elif argv[:3] == ["deployment", "group", "create"]:
            sys.stdout.write(json.dumps(_deploy(argv[3:]), indent=2) + "\n")
        else:
            sys.stderr.write(
                f"This az stands for a signed-in person. It knows {_KNOWN}; a real one works here by its path." + "\n"
            )
            return 2
    except HTTPError as refused:
        sys.stderr.write(f"ERROR: {_reason(refused)}" + "\n")
        return 1
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="az", allow_abbrev=False)
    for name in _OPTIONS.split():
        parser.add_argument(f"--{name}", default="")
    return parser.parse_known_args(argv)[0]


def _token(given: argparse.Namespace) -> str:
    resource = quote((given.resource or given.scope).removesuffix("/.default"), safe="")
    url = f"{os.environ['SANDBOX_CONTROL']}/token?resource={resource}&tenant={given.tenant}"
    request = Request(url, headers={"x-session": os.environ.get("SANDBOX_SESSION", "")})  # noqa: S310 - loopback
    with build_opener(ProxyHandler({})).open(request) as answer:
        return str(answer.read().decode())


def _create(given: argparse.Namespace) -> Any:
    scope = given.scope.strip("/")
    wanted = quote(f"roleName eq '{given.role}'")
    [role] = _arm("GET", f"{scope}/providers/Microsoft.Authorization/roleDefinitions?$filter={wanted}&{_VERSION}")[
        "value"
    ]
    properties = {"principalId": given.assignee_object_id, "roleDefinitionId": role["id"]}
    if given.assignee_principal_type:
        properties["principalType"] = given.assignee_principal_type
    name = given.name or uuid.uuid4()
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?{_VERSION}"
    return _arm("PUT", path, {"properties": properties})


def _list(given: argparse.Namespace) -> Any:
    return _arm("GET", f"{given.scope.strip('/')}/providers/Microsoft.Authorization/roleAssignments?{_VERSION}")[
        "value"
    ]


def _deploy(argv: list[str]) -> Any:
    """Deploy with parameters as NAME=VALUE. The template is not compiled; the sandbox knows what it leaves behind."""
    parser = argparse.ArgumentParser(prog="az", allow_abbrev=False)
    for names in (("-g",), ("-f",), ("-o",), ("--subscription",)):
        parser.add_argument(*names)
    parser.add_argument("-p", nargs="*", default=[])
    given = parser.parse_args(argv)
    parameters = {}
    for each in given.p:
        name, _, value = each.partition("=")
        parameters[name] = {"value": json.loads(value) if value[:1] == "{" else value}
    where = (
        f"subscriptions/{given.subscription}/resourcegroups/{given.g}/providers/Microsoft.Resources/deployments/main"
    )
    body = {"properties": {"mode": "Incremental", "template": {}, "parameters": parameters}}
    return _arm("PUT", f"{where}?{_DEPLOYMENTS}", body)


def _arm(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    token = json.loads(_token(argparse.Namespace(resource=f"{_ARM}/", scope="", tenant="")))["accessToken"]
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = Request(f"{_ARM}/{path}", data=data, headers=headers, method=method)  # noqa: S310 - the sandbox's ARM
    with urlopen(request) as answer:  # noqa: S310 - as above; proxy and CA are in the environment
        return json.loads(answer.read())


def _reason(refused: HTTPError) -> str:
    error = json.loads(refused.read())["error"]
    return str(error["message"] if isinstance(error, dict) else error)
