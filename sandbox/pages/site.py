"""What happened, to look at: a page on loopback, rendered here, with nothing loaded from anywhere else."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sandbox.pages import chain as page_chain
from sandbox.pages import format as page_format
from sandbox.pages import runs as page_runs
from sandbox.pages import traffic as page_traffic
from sandbox.pages.charts import Frame, charts
from sandbox.pages.lineage import Map, Node, lineage
from sandbox.pages.text import summary
from sandbox.runtime.http import Call, Reply
from sandbox.world import World

__all__ = ["page", "summary"]

_SMALL = Frame(360, 150)
_LARGE = Frame(520, 260, left=54, bottom=26)


def page(world: World, call: Call) -> Reply | None:
    """The page at this address. None: it is none of ours."""
    if call.method not in ("GET", "HEAD"):
        return None
    match [unquote(part) for part in call.path.split("/")[1:]]:
        case [""]:
            return _reply(world, "home.html", _home(world))
        case ["traffic"]:
            return _reply(world, "traffic.html", _traffic(world))
        case ["runs", entity, project, run_id]:
            found = page_runs.find(world, entity, project, run_id)
            if found is None:
                return _reply(world, "missing.html", {"what": f"{entity}/{project}/{run_id}"}, status=404)
            return _reply(world, "run.html", _run(found))
    return None


def _home(world: World) -> dict[str, Any]:
    runs = page_runs.runs(world)
    collections = page_runs.collections(world)
    all_runs, all_jobs = page_runs.totals(world)
    return {
        "all_runs": all_runs,
        "all_jobs": all_jobs,
        "chains": page_chain.chains(world),
        "vaults": page_chain.vault_views(world),
        "runs": [(run, charts(run.series, _SMALL, until=run.of)[:2]) for run in runs],
        "jobs": page_runs.jobs(world, runs),
        "collections": collections,
        "map": _map(runs, collections),
        "services": page_traffic.by_service(world.trace.exchanges),
        "unmodelled": list(dict.fromkeys([*world.unmodelled, *world.denied])),
    }


def _map(runs: Sequence[page_runs.RunView], collections: Sequence[page_runs.CollectionView]) -> Map:
    datasets = [Node(c.title or c.name, list(c.used_by)) for c in collections if c.used_by]
    models = [Node(c.title or c.name, list(c.made_by)) for c in collections if c.made_by and not c.used_by]
    return lineage(datasets, {run.href: (run.name, run.state) for run in runs}, models)


def _run(run: page_runs.RunView) -> dict[str, Any]:
    by_role = {run.config.get(f"{role}_file"): role for role in ("training", "validation")}
    used = [(by_role.get(a.sequence.name, ""), page_runs.artifact_view(a), page_runs.tables(a)) for a in run.used]
    used.sort(key=lambda shown: shown[0] or "z")  # training, validation, whatever else
    logged = [(page_runs.artifact_view(a), page_runs.tables(a)) for a in run.logged]
    return {"run": run, "charts": charts(run.series, _LARGE, until=run.of), "used": used, "logged": logged}


def _traffic(world: World) -> dict[str, Any]:
    return {
        "operations": page_traffic.by_operation(world.trace.exchanges),
        "exchanges": page_traffic.latest(world),
        "most": page_traffic.LATEST,
    }


def _reply(world: World, template: str, content: Mapping[str, Any], *, status: int = 200) -> Reply:
    nonce = secrets.token_urlsafe(16)
    common = {
        "nonce": nonce,
        "here": template.removesuffix(".html"),
        "title": world.scenario.title or "Sandbox",
        "now": page_format.moment(world.clock.time()),
        "requests": world.trace.requests,
        "writes": len(world.trace.writes()),
    }
    text = _environment().get_template(template).render(common | dict(content))
    # The policy is the proof that the page needs nothing from anywhere: a browser would refuse to load it.
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
    )
    headers = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
    headers |= {"content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'"}
    return Reply(status, text.encode(), headers)


def _breakable(name: str) -> Markup:
    """A long name that may go on in the next line after an underscore."""
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
        "number": page_format.number,
        "size": page_format.size,
        "moment": page_format.moment,
        "count": page_format.count,
        "shortened": page_format.shortened,
        "service": page_traffic.title,
        "breakable": _breakable,
    }
    environment.filters.update(filters)
    return environment
