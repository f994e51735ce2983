"""How servers start and end: on loopback only, answering when they are ready, with their parent."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.services import packages
from tests.services.aws import Endpoint
from tests.services.dynamodb import dynamodb_local, dynamodb_rolling
from tests.services.environment import clean_environment
from tests.services.kinesis import call, kinesalite, kinesis_local
from tests.services.ministack import ministack
from tests.services.process import ServiceError, running
from tests.services.sqs import elasticmq
from tests.services.wire import servers_binary, wire_server

LOOPBACK = "0100007F"
LISTENING = "0A"


def start() -> "subprocess.Popen[str]":
    command = [str(servers_binary()), "kinesis"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().startswith('{"port":')
    return server


def test_our_server_ends_when_its_input_does() -> None:
    with start() as server:
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(timeout=60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_our_server_ends_by_a_signal(number: signal.Signals) -> None:
    with start() as server:
        server.send_signal(number)
        assert server.wait(timeout=60) == 0


# The other tests use them too, in the quick tier.
@pytest.mark.slow
@pytest.mark.parametrize(
    "start_it",
    [kinesalite, kinesis_local, dynamodb_local, dynamodb_rolling, ministack, elasticmq],
)
def test_an_independent_server_listens_on_loopback_and_ends(
    start_it: Callable[[], AbstractContextManager[Endpoint]],
) -> None:
    with start_it() as endpoint:
        assert addresses(endpoint.port) == {LOOPBACK}
        pid = endpoint.child.pid
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(OSError, match="refused"):
        call(endpoint.port, "ListStreams", {})


def test_a_clock_that_is_too_fast_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 1200, not 1201"), dynamodb_rolling(1201):
        pass


def test_what_cannot_be_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(RuntimeError, match="hint: apt-get install no-such-package"):
        packages.debian_file("lib/no-such-file", "no-such-package")


def test_our_server_listens_on_loopback() -> None:
    with wire_server() as wire:
        assert addresses(wire.port) == {LOOPBACK}


def test_a_server_that_ends_at_once_says_why() -> None:
    command = ["sh", "-c", "echo no port for you; exit 3"]
    with (
        pytest.raises(ServiceError, match=r"(?s)code 3.*no port for you"),
        running("sh", command) as child,
    ):
        child.fact(lambda fact: "port" in fact)


def test_a_server_is_killed_when_it_does_not_go() -> None:
    command = ["sh", "-c", "trap '' TERM; echo '{\"port\": 1}'; while :; do sleep 0.1; done"]
    with running("stubborn", command, stop_within_s=0.3) as child:
        child.fact(lambda fact: "port" in fact)
        pid, start = child.pid, time.monotonic()
    assert time.monotonic() - start < 60
    assert not Path(f"/proc/{pid}").exists()


def test_proxies_bundles_and_profiles_do_not_reach_a_server() -> None:
    foreign = {
        "https_proxy": "http://proxy:3128",
        "ALL_PROXY": "socks5://proxy",
        "AWS_CA_BUNDLE": "/bundle.pem",
        "REQUESTS_CA_BUNDLE": "/bundle.pem",
        "SSL_CERT_FILE": "/bundle.pem",
        "AWS_PROFILE": "mine",
        "AWS_SESSION_TOKEN": "secret",
        "NODE_OPTIONS": "--inspect",
        "LANG": "C.UTF-8",
    }
    made = clean_environment(foreign)
    assert made["LANG"] == "C.UTF-8"
    assert not set(made) & (set(foreign) - {"LANG"})
    assert made["AWS_REGION"] == "us-east-1"


def addresses(port: int) -> set[str]:
    """The local addresses, as the kernel writes them, on which anything listens at a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, at = local.partition(":")
            if state == LISTENING and int(at, 16) == port:
                found.add(address)
    return found
