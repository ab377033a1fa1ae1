"""The sandbox's page on loopback: what happened in a world. Nothing is loaded from other hosts."""

import secrets
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sandbox.pages import chain, format, runs  # noqa: A004 - the module of formats
from sandbox.pages.charts import Frame, charts
from sandbox.pages.text import summary
from sandbox.runtime.http import Call, Reply
from sandbox.world import World

__all__ = ["page", "summary"]

_SMALL = Frame(360, 150)
_LARGE = Frame(520, 260, left=54, bottom=26)


def page(world: World, call: Call) -> Reply | None:
    """Render the page at this address; None when there is none."""
    if call.method not in ("GET", "HEAD"):
        return None
    match [unquote(part) for part in call.path.split("/")[1:]]:
        case [""]:
            return _reply(world, "home.html", _home(world))
        case ["runs", entity, project, run_id]:
            found = runs.find(world, entity, project, run_id)
            if found is None:
                return _reply(world, "missing.html", {"what": f"{entity}/{project}/{run_id}"}, status=404)
            return _reply(world, "run.html", _run(found))
    return None


def _home(world: World) -> dict[str, Any]:
    shown = runs.runs(world)
    all_runs, all_jobs = runs.totals(world)
    return {
        "all_runs": all_runs,
        "all_jobs": all_jobs,
        "chains": chain.chains(world),
        "runs": [(run, charts(run.series, _SMALL, until=run.of)[:2]) for run in shown],
        "jobs": runs.jobs(world, shown),
        "collections": runs.collections(world),
        "unmodelled": list(dict.fromkeys([*world.unmodelled, *world.denied])),
    }


def _run(run: runs.RunView) -> dict[str, Any]:
    by_role = {run.run.config.get(f"{role}_file"): role for role in ("training", "validation")}
    used = [(by_role.get(a.sequence.name, ""), a, runs.tables(a)) for a in run.run.used]
    used.sort(key=lambda shown: shown[0] or "z")  # training, validation, others
    logged = [("", a, runs.tables(a)) for a in run.run.logged]
    return {"run": run, "charts": charts(run.series, _LARGE, until=run.of), "artifacts": [*used, *logged]}


def _reply(world: World, template: str, content: Mapping[str, Any], *, status: int = 200) -> Reply:
    nonce = secrets.token_urlsafe(16)
    common = {
        "nonce": nonce,
        "title": world.scenario.title or "Sandbox",
        "now": format.moment(world.clock.time()),
        "requests": world.trace.requests,
        "writes": len(world.trace.writes()),
    }
    text = _environment().get_template(template).render(common | dict(content))
    # With this policy a browser refuses to load anything from elsewhere.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
    )
    headers = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
    headers |= {"content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'"}
    return Reply(status, text.encode(), headers)


def _breakable(name: str) -> Markup:
    """Allow a line break after each underscore of a long name."""
    return Markup("_<wbr>").join(name.split("_"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sandbox.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "number": format.number,
        "moment": format.moment,
        "count": format.count,
        "shortened": format.shortened,
        "href": runs.href,
        "flat": runs.flat,
        "breakable": _breakable,
    }
    environment.filters.update(filters)
    return environment
