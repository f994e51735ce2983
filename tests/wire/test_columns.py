"""The tables of exemptions name only servers and tests that exist, and never our own server."""

import re
from pathlib import Path

import pytest

from tests.wire import columns, dynamodb_columns, sqs_columns

TABLES = pytest.mark.parametrize(
    ("servers", "exempt"),
    [
        (columns.SERVERS, columns.EXEMPT),
        (dynamodb_columns.SERVERS, dynamodb_columns.EXEMPT),
        (sqs_columns.SERVERS, sqs_columns.EXEMPT),
    ],
)


@TABLES
def test_the_table_names_only_tests_that_exist(
    servers: tuple[str, ...], exempt: dict[str, dict[str, str]]
) -> None:
    named = {test for of in exempt.values() for test in of}
    assert named <= known_tests(), named - known_tests()


@TABLES
def test_only_independent_servers_are_exempt(
    servers: tuple[str, ...], exempt: dict[str, dict[str, str]]
) -> None:
    assert set(exempt) == set(servers) - {columns.PENSTOCK}
    assert all(reason for of in exempt.values() for reason in of.values())


def test_a_slow_test_exists_and_is_not_exempt() -> None:
    assert set(columns.SLOW) <= set(columns.EXEMPT)
    for server, tests in columns.SLOW.items():
        assert tests <= known_tests()
        assert not tests & set(columns.EXEMPT[server])


def known_tests() -> set[str]:
    sources = Path(__file__).parent.glob("test_*.py")
    return {
        name for path in sources for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
