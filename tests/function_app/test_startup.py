"""Imports without garbage collection."""

import gc

import pytest

from function_app.startup import importing


def test_garbage_collection_goes_on_after_imports_even_if_one_fails() -> None:
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
