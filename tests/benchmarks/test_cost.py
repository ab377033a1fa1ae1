"""The sums of docs/cost.md follow from its formulas and prices."""

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
TICKS, MEMORY = 21_600, 2.0
ACCOUNTS = (1, 5, 100)
SIZES = ((20, 2, 1.0), (200, 2, 1.0), (1_000, 3, 4.0))  # jobs a month, hours of each, seconds of a tick


def row(name: str) -> list[str]:
    """The cells of a row of the page's last table but one, without its name and price."""
    [cells] = re.findall(rf"^\| {re.escape(name)}[^|]*\|[^|]*\|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip(" *") for cell in cells.split("|")]


def dollars(cell: str) -> float:
    return float(cell.rpartition("$")[2])


@pytest.mark.parametrize("column", range(len(SIZES)))
def test_the_costs_match_the_formulas(column: int) -> None:
    jobs, hours, tick = SIZES[column]
    messages = jobs * (30 * hours + 5)
    gigabyte_seconds = (TICKS * max(1.0, tick) + messages * 1.5) * MEMORY
    storage = 3 * TICKS + 8 * messages + 172_800
    logged = (TICKS * 5 + messages * 6) / 1e6
    prices = {
        "GB-s": max(0.0, gigabyte_seconds - 100_000) * 0.000026,
        "storage operations": storage / 10_000 * 0.055,
        "vault operations": (8_640 + messages / 5) / 10_000 * 0.03,
        "log data": max(0.0, logged - 5) * 2.30,
        "6 alert rules": 6 * 1.50,
    }
    assert row("messages")[column] == f"{messages:,}"
    assert row("GB-s")[column].startswith(f"{gigabyte_seconds:,.0f}: ")
    for name, price in prices.items():
        assert dollars(row(name)[column]) == pytest.approx(price, abs=0.011)
    assert dollars(row("**total**")[column]) == round(sum(prices.values()))
    private = 32.85 + 3.65 + 7.30 * (4 + ACCOUNTS[column]) + 0.50 * 7
    assert dollars(row("private networking")[column]) == pytest.approx(private, abs=0.001)
    assert dollars(row("**total, private**")[column]) == round(sum(prices.values()) + private)
    assert TICKS + messages < 250_000, "the free executions"


def test_the_number_of_alert_rules_matches_the_cost_page() -> None:
    alerts = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    rules = re.findall(r"^    name: '[\w-]+'$", alerts, re.MULTILINE)
    assert f"| {len(rules)} alert rules, every 5 minutes |" in PAGE
