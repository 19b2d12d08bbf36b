from __future__ import annotations

import pickle

import pytest

from legoloop.core import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("a"),
        errors.ArgumentError("a"),
        errors.PluginError("a"),
        errors.DataError("a"),
        errors.MissingExtraError.of("Board", "board", "boards"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_the_users_and_travels_between_processes(error):
    assert isinstance(error, errors.UserError)
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there)) == (type(error), str(error))


def test_what_python_code_expects_to_catch():
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
