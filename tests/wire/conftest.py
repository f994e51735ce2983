"""Starts each server once, and runs each test against those that the table does not exempt."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.services.dynamodb import dynamodb_local, dynamodb_rolling
from tests.services.environment import clean_process
from tests.services.kinesis import kinesalite, kinesis_local
from tests.services.ministack import ministack
from tests.services.sqs import elasticmq
from tests.services.wire import (
    DynamoDbServer,
    SqsServer,
    WireServer,
    dynamodb_server,
    sqs_server,
    wire_server,
)
from tests.wire import dynamodb_columns, sqs_columns, sqs_kit
from tests.wire.columns import EXEMPT, KINESALITE, KINESIS_LOCAL, SERVERS, SLOW
from tests.wire.dynamodb_kit import Database, Table, database, table
from tests.wire.kit import Server, Stream, stream

_INDEPENDENT = {KINESALITE: kinesalite, KINESIS_LOCAL: kinesis_local}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises every test that uses a server with those it runs against."""
    if "server" in metafunc.fixturenames:
        test = metafunc.function.__name__
        servers = [
            pytest.param(name, marks=[pytest.mark.slow] if test in SLOW.get(name, ()) else [])
            for name in SERVERS
            if test not in EXEMPT.get(name, {})
        ]
        metafunc.parametrize("server", servers, indirect=True, scope="session")
    if "db" in metafunc.fixturenames:
        test = metafunc.function.__name__
        names = [
            name
            for name in dynamodb_columns.SERVERS
            if test not in dynamodb_columns.EXEMPT.get(name, {})
        ]
        metafunc.parametrize("db", names, indirect=True, scope="session")
    if "sqs" in metafunc.fixturenames:
        test = metafunc.function.__name__
        names = [
            name for name in sqs_columns.SERVERS if test not in sqs_columns.EXEMPT.get(name, {})
        ]
        metafunc.parametrize("sqs", names, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    with clean_process():
        yield


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of the servers."""
    name = str(request.param)
    with ExitStack() as stack:
        if name in _INDEPENDENT:
            endpoint = stack.enter_context(_INDEPENDENT[name]())
        else:
            endpoint = stack.enter_context(wire_server()).endpoint
        client = endpoint.client()
        stack.callback(client.close)
        yield Server(name=name, port=endpoint.port, client=client)


@pytest.fixture
def one_shard(server: Server) -> Iterator[Stream]:
    """A stream with one shard."""
    with stream(server.client) as made:
        yield made


@pytest.fixture
def two_shards(server: Server) -> Iterator[Stream]:
    """A stream with two shards."""
    with stream(server.client, shards=2) as made:
        yield made


@pytest.fixture
def wire() -> Iterator[WireServer]:
    """A server of ours for one test, so that its clock and its faults are the test's own."""
    with wire_server() as made:
        yield made


@pytest.fixture
def ours(wire: WireServer) -> Iterator[Stream]:
    """A stream with one shard on that server."""
    client = wire.client()
    with stream(client) as made:
        yield made
        wire.clear()
    client.close()


@pytest.fixture(scope="session")
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """One of the servers of DynamoDB."""
    name = str(request.param)
    with ExitStack() as stack:
        if name == dynamodb_columns.LOCAL:
            endpoint = stack.enter_context(dynamodb_local())
        elif name == dynamodb_columns.LOCAL_OLD:
            endpoint = stack.enter_context(dynamodb_rolling(speed=1))
        else:
            endpoint = stack.enter_context(dynamodb_server()).endpoint
        made = database(name, endpoint)
        stack.callback(made.tables.close)
        stack.callback(made.streams.close)
        yield made


@pytest.fixture
def items(db: Database) -> Iterator[Table]:
    """A table whose stream shows both images."""
    with table(db) as made:
        yield made


@pytest.fixture
def dynamo() -> Iterator[DynamoDbServer]:
    """A server of ours for one test, so that its clock and its faults are the test's own."""
    with dynamodb_server() as made:
        yield made


@pytest.fixture
def own(dynamo: DynamoDbServer) -> Iterator[Table]:
    """A table on that server whose stream shows both images."""
    made = database("penstock", dynamo.endpoint)
    with table(made) as one:
        yield one
        dynamo.clear()
    made.tables.close()
    made.streams.close()


@pytest.fixture(scope="session")
def sqs(request: pytest.FixtureRequest) -> Iterator[sqs_kit.Server]:
    """One of the servers of SQS."""
    name = str(request.param)
    with ExitStack() as stack:
        if name == sqs_columns.ELASTICMQ:
            endpoint = stack.enter_context(elasticmq())
        elif name == sqs_columns.MINISTACK:
            endpoint = stack.enter_context(ministack())
        else:
            endpoint = stack.enter_context(sqs_server()).endpoint
        client = endpoint.client("sqs")
        stack.callback(client.close)
        yield sqs_kit.Server(name=name, port=endpoint.port, client=client)


@pytest.fixture
def standard(sqs: sqs_kit.Server) -> Iterator[sqs_kit.Queue]:
    """A standard queue."""
    with sqs_kit.queue(sqs.client) as made:
        yield made


@pytest.fixture
def fifo(sqs: sqs_kit.Server) -> Iterator[sqs_kit.Queue]:
    """A FIFO queue."""
    with sqs_kit.queue(sqs.client, fifo=True) as made:
        yield made


@pytest.fixture
def queues() -> Iterator[SqsServer]:
    """A server of ours for one test, so that its clock and its faults are the test's own."""
    with sqs_server() as made:
        yield made
