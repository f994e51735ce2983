"""The stock `aws` command line and boto3 work with keys of `penstock keys create`, unmodified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from penstock.audit import Audit, local_asker
from tests.python.integration.api_service import ApiService, serving
from tests.python.integration.test_mapping_command import mapping
from tests.services import awscli
from tests.services.environment import clean_environment

SOURCE = "arn:aws:penstock:::stream/orders"
EXAMPLE = (
    "create-event-source-mapping", "--function-name", "my-function", "--batch-size", "7",
    "--starting-position", "TRIM_HORIZON", "--event-source-arn", SOURCE,
)  # fmt: skip
WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)


def penstock(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a command on the state directory; gives its data."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments, "--state", str(home / "state")],
        cwd=home,
        env=clean_environment() | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def new_key(home: Path, name: str, *options: str) -> dict[str, str]:
    """Make a key, as variables of the environment."""
    told = penstock(home, "keys", "create", name, *options)
    return dict(line.split("=", 1) for line in told.splitlines())


def client(service: ApiService, key: dict[str, str]) -> Any:
    """Give a client of boto3 as anybody makes one, with a key."""
    return boto3.client(
        "lambda",
        endpoint_url=service.url,
        region_name="us-east-1",
        aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
    )


def test_boto3_works_with_a_key_as_far_as_its_scope_goes(tmp_path: Path) -> None:
    admin, reader = new_key(tmp_path, "ci"), new_key(tmp_path, "look", "--scope", "read")
    operator = new_key(tmp_path, "oncall", "--scope", "operate", "--expires", "1d")
    functions: dict[str, dict[str, Any]] = {"my-function": {}}
    with serving(tmp_path, "--api-keys", functions=functions, streams={"orders": 1}) as service:
        made = client(service, admin).create_event_source_mapping(
            EventSourceArn=SOURCE, FunctionName="my-function", StartingPosition="TRIM_HORIZON"
        )
        uuid = made["UUID"]
        service.until_state(client(service, reader), uuid, "Enabled")
        with pytest.raises(ClientError) as caught:
            client(service, reader).delete_event_source_mapping(UUID=uuid)
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
        assert caught.value.response["Error"]["Message"] == (
            "User: arn:aws:iam::000000000000:user/look is not authorized to perform: "
            "lambda:DeleteEventSourceMapping on resource: arn:aws:lambda:us-east-1:000000000000:"
            f"event-source-mapping:{uuid} because no identity-based policy allows the "
            "lambda:DeleteEventSourceMapping action"
        )
        paused = client(service, operator).update_event_source_mapping(UUID=uuid, Enabled=False)
        assert paused["State"] == "Disabling"
        service.until_state(client(service, reader), uuid, "Disabled")
        with pytest.raises(ClientError, match="AccessDenied"):
            client(service, operator).update_event_source_mapping(UUID=uuid, BatchSize=7)
        penstock(tmp_path, "keys", "revoke", "look")
        with pytest.raises(ClientError) as caught:
            client(service, reader).get_event_source_mapping(UUID=uuid)
        assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
        assert service.stop() == 0, service.tail()
        log = service.log.read_text()
    _check_the_trail(tmp_path / "state", uuid)
    for key in (admin, reader, operator):
        assert key["AWS_SECRET_ACCESS_KEY"] not in log
    listed = json.loads(penstock(tmp_path, "keys", "list", "--json"))["keys"]
    assert [(each["name"], each["scope"]) for each in listed] == [
        ("ci", "admin"), ("oncall", "operate"),
    ]  # fmt: skip
    assert admin["AWS_SECRET_ACCESS_KEY"] not in str(listed)
    assert [each["expires"] and each["expires"] - each["made"] for each in listed] == [None, 86_400]
    assert re.search(
        r"oncall\toperate\t\S+\texpires \S+$", penstock(tmp_path, "keys", "list"), re.M
    )


def test_the_mapping_command_is_known_by_a_key_or_a_token(tmp_path: Path) -> None:
    key = new_key(tmp_path, "ci")
    token = tmp_path / "token"
    token.write_text(penstock(tmp_path, "keys", "create", "look", "--token", "--scope", "read"))
    token.chmod(0o600)
    functions: dict[str, dict[str, Any]] = {"my-function": {}}
    create = ("create", "--function", "my-function", "--source", "stream:orders",
              "--starting-position", "TRIM_HORIZON", "--json")  # fmt: skip
    with serving(tmp_path, "--api-keys", functions=functions, streams={"orders": 1}) as service:
        url = ("--url", service.url)
        assert "PS120" in mapping(tmp_path, "list", *url, code=2)
        made = json.loads(mapping(tmp_path, *create, *url, "--sign", environment=key))
        bearer = ("--api-token", str(token))
        assert made["UUID"] in mapping(tmp_path, "list", *url, *bearer)
        by_variable = {"PENSTOCK_API_TOKEN": str(token), "PENSTOCK_URL": service.url}
        assert made["UUID"] in mapping(tmp_path, "list", environment=by_variable)
        refused = mapping(tmp_path, "delete", made["UUID"], *url, *bearer, code=2)
        assert "user/look is not authorized to perform: lambda:DeleteEvent" in refused
        wrong = key | {"AWS_SECRET_ACCESS_KEY": "x" * 43}
        assert WRONG in mapping(tmp_path, "list", *url, "--sign", environment=wrong, code=2)
        assert "PS103" in mapping(tmp_path, "list", *url, "--sign", *bearer, code=2)
        assert "PS113" in mapping(tmp_path, "list", *bearer, code=2)
        mapping(tmp_path, "delete", made["UUID"], *url, "--sign", environment=key)
        assert service.stop() == 0, service.tail()


def _check_the_trail(state: Path, uuid: str) -> None:
    entries = list(Audit(state).entries())
    told = [(each["actor"].split("/")[0], each["action"], each["outcome"]) for each in entries]
    user = local_asker().actor
    assert told == [
        *[(user, "key.create", outcome) for _ in range(3) for outcome in ("asked", "done")],
        ("key:ci", "mapping.create", "asked"),
        ("key:ci", "mapping.create", "done"),
        ("key:look", "lambda:DeleteEventSourceMapping", "refused"),
        ("key:oncall", "mapping.update", "asked"),
        ("key:oncall", "mapping.update", "done"),
        ("key:oncall", "lambda:UpdateEventSourceMapping", "refused"),
        (user, "key.revoke", "asked"),
        (user, "key.revoke", "done"),
    ]
    changed = next(each for each in entries if each["outcome"] == "done" and each["mapping"])
    assert (changed["mapping"], changed["address"]) == (uuid, "127.0.0.1")
    assert (changed["before"]["State"], changed["after"]["State"]) == ("Enabled", "Disabling")
    assert "Secret" not in str(entries)


@pytest.mark.slow
def test_the_stock_command_line_works_with_a_key(tmp_path: Path) -> None:
    key = new_key(tmp_path, "ci")
    functions: dict[str, dict[str, Any]] = {"my-function": {}}
    with serving(tmp_path, "--api-keys", functions=functions, streams={"orders": 1}) as service:
        made = awscli.aws(service.url, *EXAMPLE, environment=key)
        assert made["BatchSize"] == 7
        service.until_state(client(service, key), made["UUID"], "Enabled")
        listed = awscli.aws(service.url, "list-event-source-mappings", environment=key)
        assert [each["UUID"] for each in listed["EventSourceMappings"]] == [made["UUID"]]
        changed = awscli.aws(
            service.url, "update-event-source-mapping", "--uuid", made["UUID"],
            "--batch-size", "9", environment=key,
        )  # fmt: skip
        assert changed["BatchSize"] == 9
        service.until_state(client(service, key), made["UUID"], "Enabled")
        wrong = awscli.run(
            service.url, "list-event-source-mappings",
            environment=key | {"AWS_SECRET_ACCESS_KEY": "x" * 43},
        )  # fmt: skip
        assert wrong.returncode != 0
        assert "(InvalidSignatureException)" in wrong.stderr
        assert WRONG in wrong.stderr
        strange = awscli.run(service.url, "list-event-source-mappings")
        assert "(UnrecognizedClientException)" in strange.stderr
        gone = awscli.aws(
            service.url, "delete-event-source-mapping", "--uuid", made["UUID"], environment=key
        )
        assert gone["State"] == "Deleting"
        assert service.stop() == 0, service.tail()
