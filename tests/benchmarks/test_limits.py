"""A sync by hand under W&B's rate limits, at small size."""

from benchmarks.limits import backfill
from sandbox.cloud import Cloud
from sandbox.wandb.options import RateLimit


def test_no_job_fails_when_wandb_limits_the_requests_of_its_key(cloud: Cloud) -> None:
    found = backfill(cloud, 3, RateLimit(requests=40, seconds=3))
    assert found.wrong == []
    assert found.refused > 0
