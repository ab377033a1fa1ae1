"""Imports without garbage collection."""

import gc

import pytest

from function_app.startup import importing


def _failing_import() -> None:
    assert not gc.isenabled()
    raise ImportError


def test_garbage_collection_goes_on_after_imports_even_if_one_fails() -> None:
    with pytest.raises(ImportError), importing():
        _failing_import()
    assert gc.isenabled()
