from __future__ import annotations

import pickle
from copy import copy

import pytest

from legoloop.core import errors

EVERY_KIND = [
    errors.ConfigError("is 0", key="lr", where="command line", remedy="give 1"),
    errors.ArgumentError("is 0", argument="lr", remedy="give 1"),
    errors.ArgumentError("is 0", argument="lr").located(key="optimizer.lr"),
    errors.ArgumentError("a"),
    errors.PluginError("a"),
    errors.DataError("a"),
    errors.MissingExtraError.of("Board", "board", "boards"),
]


@pytest.mark.parametrize("error", EVERY_KIND, ids=lambda error: type(error).__name__)
def test_every_error_is_the_users_and_travels_between_processes(error):
    assert isinstance(error, errors.UserError)
    for there in (pickle.loads(pickle.dumps(error)), copy(error)):
        assert (type(there), str(there)) == (type(error), str(error))
        assert vars(there) == vars(error)


def test_what_python_code_expects_to_catch():
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "is 0"),
        ({"remedy": "give 1"}, "is 0; give 1"),
        ({"key": "data.seed"}, "data.seed: is 0"),
        ({"key": "data.seed", "where": "a.yaml, line 3"}, "data.seed (a.yaml, line 3): is 0"),
        ({"where": "a.yaml, line 3"}, "is 0"),
        ({"key": "data.seed", "remedy": "give 1"}, "data.seed: is 0; give 1"),
    ],
)
def test_a_message_is_made_of_the_fields_that_are_known(fields, message):
    assert str(errors.ConfigError("is 0", **fields)) == message


def test_the_name_of_an_argument_stands_before_the_problem_until_there_is_a_key():
    error = errors.ArgumentError("is 0", argument="lr", remedy="give 1")
    assert str(error) == "lr is 0; give 1"
    located = error.located(key="optimizer.lr", where="command line")
    assert str(located) == "optimizer.lr (command line): is 0; give 1"
    assert str(errors.ArgumentError("they differ")) == "they differ"


def test_to_locate_leaves_the_error_itself_and_keeps_what_is_known():
    error = errors.ConfigError("is 0", key="lr")
    assert str(error.located(where="a.yaml, line 3")) == "lr (a.yaml, line 3): is 0"
    assert str(error) == "lr: is 0"


def test_an_argument_of_a_nested_call_has_its_path():
    error = errors.ArgumentError("is 0", argument="batch_size")
    assert str(error.nested("train").nested("loaders")) == "loaders.train.batch_size is 0"
    assert error.argument == "batch_size"
