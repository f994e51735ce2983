"""`penstock check` finds what a run would miss, and consumes nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness
from tests.services.environment import clean_environment, clean_process
from tests.services.ministack import ministack
from tests.services.sts import sts
from tests.services.wire import Scope, WireServer, dynamodb_server, wire_server

DONE = 0
FAILED = 1
USAGE = 2
MODULE = """
import penstock


def handler(event, context):
    raise RuntimeError("a check must not call handlers")


app = penstock.App(streams={"planned": 3})


@app.on("stream:planned", starting_position="TRIM_HORIZON", maximum_retry_attempts=1)
def planned(event, context):
    raise RuntimeError("a check must not call handlers")


@app.on("stream:missing", starting_position="TRIM_HORIZON", maximum_retry_attempts=1)
def missing(event, context):
    raise RuntimeError("a check must not call handlers")
"""
FROM_START = ["--starting-position", "TRIM_HORIZON", "--maximum-retry-attempts", "1"]


def _check(
    home: Path,
    target: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    (home / "tasks.py").write_text(MODULE)
    environment = clean_environment() | dict(env or {})
    for name in without:
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "check", target, *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def _kinesis(
    home: Path, server: WireServer, *arguments: str, source: str = "kinesis:orders", **more: Any
) -> subprocess.CompletedProcess[str]:
    env = {"AWS_ENDPOINT_URL": server.url}
    return _check(home, "tasks.handler", "--source", source, *FROM_START, *arguments, env=env)


def _findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    [mapping] = json.loads(done.stdout)["mappings"]
    return {finding["subject"]: finding for finding in mapping["findings"]}


@contextmanager
def _server(shards: int = 2) -> Iterator[WireServer]:
    with wire_server() as server:
        harness.create_stream(server.client(), "orders", shards)
        yield server


def test_a_stream_that_may_be_read_is_good_and_nothing_is_consumed(tmp_path: Path) -> None:
    with _server() as server:
        client = server.client()
        client.put_record(StreamName="orders", Data=b"1", PartitionKey="k")
        server.reset_stats()
        done = _kinesis(tmp_path, server, "--json")
        reads = server.calls("GetRecords")
    assert done.returncode == DONE, (done.stdout, done.stderr)
    whole = json.loads(done.stdout)
    assert whole["ok"] is True
    assert "2 shards" in whole["mappings"][0]["plan"]
    found = _findings(done)
    wanted = ["configuration", "handler", "source", "credentials"]
    assert list(found) == [*wanted, "ListShards", "GetShardIterator", "GetRecords"]
    assert [(read.outcome, read.records) for read in reads] == [("ok", 0)]
    assert not (tmp_path / ".penstock").exists()


@pytest.mark.parametrize("operation", ["ListShards", "GetShardIterator", "GetRecords"])
def test_an_action_that_is_denied_is_named(operation: str, tmp_path: Path) -> None:
    with _server() as server:
        server.deny_access(Scope(operation=operation))
        done = _kinesis(tmp_path, server, "--json")
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    found = _findings(done)
    bad = [subject for subject, finding in found.items() if not finding["ok"]]
    assert bad == [operation]
    assert found[operation]["code"] == "PS204"
    assert f"kinesis:{operation}" in found[operation]["hint"]


def test_a_stream_that_cannot_be_described_fails_at_the_source(tmp_path: Path) -> None:
    with _server() as server:
        server.deny_access(Scope(operation="DescribeStreamSummary"))
        done = _kinesis(tmp_path, server)
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    assert "FAILED  source: access to kinesis:orders is denied [PS204]" in done.stdout
    assert "DescribeStreamSummary" in done.stdout


def test_a_throttled_read_is_an_allowed_one(tmp_path: Path) -> None:
    with _server() as server:
        server.throttle(Scope(operation="GetRecords"))
        done = _kinesis(tmp_path, server, "--json")
    assert done.returncode == DONE, (done.stdout, done.stderr)
    assert "throttled" in _findings(done)["GetRecords"]["said"]


def test_a_stream_that_does_not_exist(tmp_path: Path) -> None:
    with _server() as server:
        done = _kinesis(tmp_path, server, source="kinesis:nowhere")
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    assert "kinesis:nowhere does not exist" in done.stdout
    assert "hint:" in done.stdout


def test_an_endpoint_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        arguments = ["--source", "kinesis:orders", *FROM_START]
        done = _check(tmp_path, "tasks.handler", *arguments, env=env)
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    assert "cannot be reached" in done.stdout
    assert "[PS205]" in done.stdout


def test_no_credentials(tmp_path: Path) -> None:
    done = _check(
        tmp_path, "tasks.handler", "--source", "kinesis:orders", *FROM_START,
        env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    )  # fmt: skip
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    assert "[PS202]" in done.stdout


def test_one_bad_mapping_does_not_hide_another(tmp_path: Path) -> None:
    done = _check(tmp_path, "tasks:app", "--json")
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    whole = json.loads(done.stdout)
    planned, missing = whole["mappings"]
    assert [f["ok"] for f in planned["findings"]] == [True, True, True]
    assert "will be made with 3 shards" in planned["findings"][2]["said"]
    assert missing["findings"][2]["ok"] is False
    assert "penstock stream create missing" in missing["findings"][2]["hint"]
    assert not (tmp_path / ".penstock").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--source", "stream:orders", "--batch-size", "0"], "batch-size"),
        (["--source", "carrier-pigeon:x"], "carrier-pigeon"),
        ([], "--source"),
    ],
)
def test_a_bad_configuration_is_refused(arguments: list[str], word: str, tmp_path: Path) -> None:
    done = _check(tmp_path, "tasks.handler", *FROM_START, *arguments)
    assert done.returncode == USAGE, (done.stdout, done.stderr)
    assert word in done.stdout + done.stderr


def test_a_handler_that_cannot_be_loaded(tmp_path: Path) -> None:
    done = _check(tmp_path, "tasks.nothing", "--source", "stream:orders")
    assert done.returncode == USAGE, (done.stdout, done.stderr)
    assert "tasks has no nothing" in done.stderr


def test_destinations_are_looked_at(tmp_path: Path) -> None:
    with _server() as server:
        gone = _kinesis(tmp_path, server, "--on-failure", "stream:failed")
        good = _kinesis(tmp_path, server, "--on-failure", f"file:{tmp_path}/failed.jsonl")
        bad = _kinesis(tmp_path, server, "--on-failure", f"file:{tmp_path}/no/failed.jsonl")
    assert gone.returncode == FAILED, (gone.stdout, gone.stderr)
    assert "destination: there is no embedded stream failed" in gone.stdout
    assert good.returncode == DONE, (good.stdout, good.stderr)
    assert not (tmp_path / "failed.jsonl").exists()
    assert bad.returncode == FAILED, (bad.stdout, bad.stderr)
    assert "there is no directory" in bad.stdout


@pytest.mark.slow
def test_destinations_of_aws_are_looked_at_as_their_role_and_get_nothing(tmp_path: Path) -> None:
    role = "arn:aws:iam::000000000000:role/writer"
    with clean_process(), ministack() as aws, sts() as roles:
        aws.client("sqs").create_queue(QueueName="failed")
        aws.client("s3").create_bucket(Bucket="failed-records")
        topic = aws.client("sns").create_topic(Name="failed")["TopicArn"]
        env = {"AWS_ENDPOINT_URL": aws.url, "AWS_ENDPOINT_URL_STS": roles.url}

        def look(destination: str, *more: str) -> subprocess.CompletedProcess[str]:
            given = ["--on-failure", destination, "--destination-role-arn", role, *more]
            return _check(tmp_path, "tasks.handler", "--source", "stream:orders", *FROM_START,
                          *given, "--json", env=env)  # fmt: skip

        for name in ("sqs:failed", "s3://failed-records/prefix", topic):
            assert _findings(look(name))["destination"]["said"] == f"{name} is there"
        for name in ("sqs:gone", "s3://gone-records", topic + "-gone"):
            bad = _findings(look(name))["destination"]
            assert (bad["ok"], bad["code"]) == (False, "PS203"), bad
        assert set(roles.roles) == {role}
        roles.refuses = True
        bad = _findings(look("sqs:failed"))["destination"]
        assert bad["code"] == "PS204"
        assert f"the role {role} of sqs:failed cannot be assumed" in bad["said"]
        queue = aws.client("sqs").get_queue_url(QueueName="failed")["QueueUrl"]
        assert "Messages" not in aws.client("sqs").receive_message(QueueUrl=queue)


def test_a_state_directory_that_is_in_use_is_said_and_still_looked_into(tmp_path: Path) -> None:
    app = penstock.App(state=tmp_path / "state", streams={"orders": 2})

    @app.on("stream:orders", starting_position="TRIM_HORIZON", maximum_retry_attempts=1)
    def handler(event: object, context: object) -> None:
        return None

    state = ["--state", str(tmp_path / "state")]
    with app.background():
        done = _check(
            tmp_path, "tasks.handler", "--source", "stream:orders", *FROM_START, *state, "--json"
        )
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    whole = json.loads(done.stdout)
    [finding] = whole["findings"]
    assert (finding["subject"], finding["ok"], finding["code"]) == ("state", False, "PS301")
    assert _findings(done)["source"]["said"] == "stream:orders, 2 open shards"
    done = _check(tmp_path, "tasks.handler", "--source", "stream:orders", *FROM_START, *state)
    assert done.returncode == DONE, (done.stdout, done.stderr)


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = ["--state", str(tmp_path / "file" / "state")]
    done = _check(tmp_path, "tasks.handler", "--source", "stream:orders", *FROM_START, *state)
    assert done.returncode == FAILED, (done.stdout, done.stderr)
    assert "is no directory" in done.stdout


def test_a_table_that_may_be_read_is_good(tmp_path: Path) -> None:
    with dynamodb_server() as server:
        server.client("dynamodb").create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        good = _kinesis(tmp_path, server, "--json", source="dynamodb:orders")
        server.deny_access(Scope(operation="GetRecords"))
        bad = _kinesis(tmp_path, server, "--json", source="dynamodb:orders")
    assert good.returncode == DONE, (good.stdout, good.stderr)
    assert list(_findings(good))[-3:] == ["DescribeStream", "GetShardIterator", "GetRecords"]
    assert bad.returncode == FAILED, (bad.stdout, bad.stderr)
    assert "dynamodb:GetRecords" in _findings(bad)["GetRecords"]["hint"]
