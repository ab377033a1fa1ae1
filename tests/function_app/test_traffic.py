"""Requests are counted for the work that makes them, including its parts, and for nothing else."""

import contextvars
import threading

from function_app.traffic import AZURE, SERVICES, VAULT, WANDB, count_request, counted


def test_requests_count_for_the_part_and_for_the_whole() -> None:
    count_request(AZURE)  # outside any count
    with counted() as whole:
        count_request(WANDB)
        with counted() as part:
            count_request(AZURE)
            count_request(AZURE)
        count_request(VAULT)
    count_request(AZURE)
    assert part.counts() == dict.fromkeys(SERVICES, 0) | {AZURE: 2}
    assert whole.counts() == dict.fromkeys(SERVICES, 0) | {AZURE: 2, WANDB: 1, VAULT: 1}


def test_requests_of_a_thread_only_count_for_the_context_that_it_was_started_with() -> None:
    with counted() as traffic:
        helpers = [
            threading.Thread(target=contextvars.copy_context().run, args=(count_request, AZURE)) for _ in range(8)
        ]
        helpers.append(threading.Thread(target=count_request, args=(WANDB,)))
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()
    assert traffic.counts() == dict.fromkeys(SERVICES, 0) | {AZURE: 8}
