"""preflight: check before a deployment what would stop it, or make it useless. Writes nothing."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from provisioning.azure.client import Azure
from provisioning.checks import parameters, preflight
from provisioning.checks.parameters import Parameters
from provisioning.checks.preflight import Deployment
from provisioning.cli.doctor import SIGN_IN, reported, sign_in
from provisioning.cli.session import Session
from provisioning.errors import UsageError

CHECKS = (*parameters.CHECKS, SIGN_IN, *preflight.CHECKS)
"""The names of the checks in order."""


def read(files: Sequence[Path], assignments: Sequence[str], azd_env: Path | None, azd_parameters: Path) -> Parameters:
    """Read the parameters as az or azd would pass them. If a parameter is given twice, the later value counts.

    Raises:
        UsageError: a file or an assignment is not readable.
    """
    given: dict[str, Any] = {}
    variables: dict[str, str] = {}
    if azd_env:
        document = _document(azd_parameters)
        passed = {name for value in document.values() for name in re.findall(r"\$\{(\w+)", str(value))}
        values = dotenv_values(azd_env, interpolate=False)
        variables = {name: value or "" for name, value in values.items() if name in passed}
        given |= {
            name: value if not isinstance(value, str) else _substituted(value, variables)
            for name, value in document.items()
        }
    for path in files:
        given |= _document(path)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p {assignment} is not NAME=VALUE.", hint="-p syncDatasets=reference")
        given[name] = _value(name, value)
    if wrong := [name for name in ("tags", "names", "extraAppSettings") if not isinstance(given.get(name, {}), dict)]:
        raise UsageError(f"{', '.join(wrong)} must be a JSON object.", hint='-p tags=\'{"team": "ml"}\'')
    return Parameters(given, variables)


def _value(name: str, text: str) -> Any:
    """The value of -p NAME=VALUE: az reads an object or a list as JSON."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"-p {name} is not JSON: {error}.", hint='-p tags=\'{"team": "ml"}\'') from error


def _document(path: Path) -> Mapping[str, Any]:
    try:
        parsed = json.loads(path.read_bytes())
        return {name: entry["value"] for name, entry in parsed["parameters"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a parameter file of a deployment.",
            hint="python -m infra.from_setup --bicep setup.json > setup.parameters.json",
        ) from error


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    """Return the value that azd puts in place of ${NAME} or ${NAME=default}."""
    return re.sub(r"\$\{(\w+)(?:=([^}]*))?\}", lambda found: variables.get(found[1]) or found[2] or "", text)


def run(session: Session, given: Parameters, group: str, location: str) -> None:
    """Run every check. Those of Azure need a sign-in; the others do not.

    Raises:
        BrokenLinkError: at least one check failed.
    """
    with reported(session) as report:
        report.run(parameters.CHECKS, given)
        signed_in: list[Azure] = []
        report.run({SIGN_IN: lambda session: sign_in(session, signed_in)}, session)
        if signed_in:
            where = given.text("location") or location
            report.run(preflight.CHECKS, Deployment(signed_in[0], given, group, where))
        else:
            report.skip(preflight.CHECKS, "sign-in failed")
