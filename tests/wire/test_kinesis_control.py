"""What only our server has: a clock that tests move, and faults on command."""

import json
import socket
import time
from collections.abc import Callable

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.services.kinesis import call, client
from tests.services.wire import OK, THROTTLE, Garbage, Scope, WireServer, error, most_within, slow
from tests.wire.kit import Stream, datas, eventually, refused

FIRST = "shardId-000000000000"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_the_date_follows_the_clock(wire: WireServer) -> None:
    before = wire.now_ms()
    wire.advance(400 * DAY_MS)
    assert wire.now_ms() >= before + 400 * DAY_MS
    _, headers, _ = call(wire.port, "ListStreams", {})
    year = time.gmtime(wire.now_ms() / 1000).tm_year
    assert f" {year} " in headers["date"]


def test_an_iterator_lives_for_five_minutes(wire: WireServer, ours: Stream) -> None:
    token = ours.iterator(FIRST)
    wire.advance(299_000)
    ours.client.get_records(ShardIterator=token)
    wire.advance(2_000)
    with refused("ExpiredIteratorException"):
        ours.client.get_records(ShardIterator=token)
    ours.read(FIRST)


def test_iterators_expire_on_command_and_new_ones_work(wire: WireServer, ours: Stream) -> None:
    token = ours.iterator(FIRST)
    wire.expire_iterators(ours.name, "shardId-000000000001")
    ours.client.get_records(ShardIterator=token)
    wire.expire_iterators(ours.name)
    with refused("ExpiredIteratorException"):
        ours.client.get_records(ShardIterator=token)
    ours.read(FIRST)


def test_a_token_of_a_list_lives_for_five_minutes(wire: WireServer, ours: Stream) -> None:
    ours.split(FIRST)
    token = ours.client.list_shards(StreamName=ours.name, MaxResults=1)["NextToken"]
    wire.advance(301_000)
    with refused("ExpiredNextTokenException"):
        ours.client.list_shards(NextToken=token)


def test_retention_trims_by_the_clock(wire: WireServer, ours: Stream) -> None:
    ours.put(b"old")
    wire.advance(23 * HOUR_MS)
    ours.put(b"young")
    assert datas(ours.read(FIRST)["Records"]) == [b"old", b"young"]
    wire.advance(2 * HOUR_MS)
    assert datas(ours.read(FIRST)["Records"]) == [b"young"]
    ours.client.increase_stream_retention_period(StreamName=ours.name, RetentionPeriodHours=48)
    wire.advance(10 * HOUR_MS)
    assert datas(ours.read(FIRST)["Records"]) == [b"young"]


def test_a_closed_shard_leaves_the_list_after_its_records(wire: WireServer, ours: Stream) -> None:
    ours.put(b"x")
    ours.split(FIRST)
    wire.advance(DAY_MS - HOUR_MS)
    assert FIRST in ours.ids()
    wire.advance(2 * HOUR_MS)
    assert FIRST not in ours.ids()
    with refused("ResourceNotFoundException"):
        ours.iterator(FIRST)


def test_a_trimmed_number_reads_from_the_oldest(wire: WireServer, ours: Stream) -> None:
    numbers = [ours.put(letter)["SequenceNumber"] for letter in (b"a", b"b", b"c")]
    assert wire.trim(ours.name, FIRST, below=numbers[1]) == 1
    read = ours.read(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[0])
    assert datas(read["Records"]) == [b"b", b"c"]
    assert wire.trim(ours.name, FIRST) == 2
    read = ours.read(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[0])
    assert read["Records"] == []


def test_throttling_by_count_ends_by_itself(wire: WireServer, ours: Stream) -> None:
    wire.throttle(times=2)
    token = ours.iterator(FIRST)
    for _ in range(2):
        with refused("ProvisionedThroughputExceededException"):
            ours.client.get_records(ShardIterator=token)
    ours.client.get_records(ShardIterator=token)


def test_a_fault_by_time_ends_by_itself(wire: WireServer, ours: Stream) -> None:
    wire.throttle(for_ms=300)
    token = ours.iterator(FIRST)
    with refused("ProvisionedThroughputExceededException"):
        ours.client.get_records(ShardIterator=token)

    def answered() -> bool:
        try:
            ours.client.get_records(ShardIterator=token)
        except ClientError:
            return False
        return True

    eventually(answered)


def test_a_fault_meets_only_its_scope(wire: WireServer, ours: Stream) -> None:
    ours.split(FIRST)
    wire.throttle(Scope(operation="GetRecords", shard="shardId-000000000001"))
    ours.read("shardId-000000000002")
    with refused("ProvisionedThroughputExceededException"):
        ours.read("shardId-000000000001")
    assert wire.clear() == 1
    ours.read("shardId-000000000001")


def test_a_script_gives_each_call_its_step(wire: WireServer, ours: Stream) -> None:
    token = ours.iterator(FIRST)
    wire.script([OK, THROTTLE, error(503, "ServiceUnavailable", "later"), slow(100)])
    ours.client.get_records(ShardIterator=token)
    with refused("ProvisionedThroughputExceededException"):
        ours.client.get_records(ShardIterator=token)
    with refused("ServiceUnavailable"):
        ours.client.get_records(ShardIterator=token)
    start = time.monotonic()
    ours.client.get_records(ShardIterator=token)
    assert time.monotonic() - start >= 0.1
    assert wire.outcomes("GetRecords") == {
        "ok": 1,
        "ProvisionedThroughputExceededException": 1,
        "ServiceUnavailable": 1,
        "slow": 1,
    }


def test_a_shard_gives_five_reads_a_second(wire: WireServer, ours: Stream) -> None:
    wire.limit_reads()
    token = ours.iterator(FIRST)
    for _ in range(5):
        ours.client.get_records(ShardIterator=token)
    with refused("ProvisionedThroughputExceededException"):
        ours.client.get_records(ShardIterator=token)
    assert wire.busiest_second("GetRecords") == 6


def test_a_large_read_shuts_the_shard_for_a_while(wire: WireServer, ours: Stream) -> None:
    for _ in range(3):
        ours.put(bytes(1 << 20))
    wire.limit_reads(calls_per_second=1000)
    ours.read(FIRST)
    token = ours.iterator(FIRST, "LATEST")
    with refused("ProvisionedThroughputExceededException"):
        ours.client.get_records(ShardIterator=token)


def test_a_shard_takes_so_many_records_a_second(wire: WireServer, ours: Stream) -> None:
    wire.settings(write_limits={"records_per_second": 10})
    records = [{"Data": b"x", "PartitionKey": "k"} for _ in range(15)]
    answer = ours.client.put_records(StreamName=ours.name, Records=records)
    assert answer["FailedRecordCount"] >= 4
    failed = [one for one in answer["Records"] if "ErrorCode" in one]
    assert len(failed) == answer["FailedRecordCount"]
    assert {one["ErrorCode"] for one in failed} == {"ProvisionedThroughputExceededException"}
    assert len(ours.read(FIRST)["Records"]) == 15 - len(failed)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (WireServer.internal_failure, "InternalFailure"),
        (WireServer.unavailable, "ServiceUnavailable"),
        (WireServer.deny_access, "AccessDeniedException"),
    ],
)
def test_errors_come_once_and_go(
    wire: WireServer, ours: Stream, order: Callable[..., int], code: str
) -> None:
    token = ours.iterator(FIRST)
    order(wire, times=1)
    with refused(code):
        ours.client.get_records(ShardIterator=token)
    ours.client.get_records(ShardIterator=token)


def test_an_expired_token_is_one_keys_affair(wire: WireServer, ours: Stream) -> None:
    wire.expire_token()
    with refused("ExpiredTokenException"):
        ours.status()
    renewed = client(wire.url, access_key="AKIARENEWED")
    assert renewed.list_streams()["StreamNames"] == [ours.name]
    renewed.close()


def test_a_skewed_clock_refuses_until_the_client_corrects(wire: WireServer, ours: Stream) -> None:
    wire.skew(20 * 60 * 1000)
    with refused("InvalidSignatureException"):
        ours.status()
    status, headers, _ = call(wire.port, "ListStreams", {})
    assert status == 400
    date = time.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
    corrected = {"X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", date)}
    status, _, _ = call(wire.port, "ListStreams", {}, headers=corrected)
    assert status == 200
    assert wire.outcomes("DescribeStreamSummary")["InvalidSignatureException"] == 1
    wire.skew(None)
    ours.status()


def test_no_records_though_there_are_some(wire: WireServer, ours: Stream) -> None:
    ours.put(b"hidden")
    time.sleep(0.02)
    wire.empty(times=1)
    answer = ours.read(FIRST)
    assert answer["Records"] == []
    assert answer["MillisBehindLatest"] > 0
    answer = ours.client.get_records(ShardIterator=answer["NextShardIterator"])
    assert datas(answer["Records"]) == [b"hidden"]


@pytest.mark.parametrize("form", ["broken", "not_json", "nothing"])
def test_garbage_is_not_json(wire: WireServer, ours: Stream, form: Garbage) -> None:
    ours.put(b"x")
    token = ours.iterator(FIRST)
    wire.garbage(form, times=1)
    status, headers, body = raw_get_records(wire.port, token)
    assert status == 200
    assert int(headers["content-length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert datas(ours.client.get_records(ShardIterator=token)["Records"]) == [b"x"]


@pytest.mark.parametrize("form", ["unknown_fields", "escapes"])
def test_unusual_json_says_the_same(wire: WireServer, ours: Stream, form: Garbage) -> None:
    for nth in range(3):
        ours.put(b"%d" % nth)
    plain = ours.read(FIRST)["Records"]
    wire.garbage(form, times=1)
    unusual = ours.read(FIRST)["Records"]
    wanted = ("SequenceNumber", "Data", "PartitionKey", "ApproximateArrivalTimestamp")
    assert [[record[name] for name in wanted] for record in unusual] == [
        [record[name] for name in wanted] for record in plain
    ]


def test_a_truncated_body_announces_more_than_it_has(wire: WireServer, ours: Stream) -> None:
    ours.put(bytes(1000))
    token = ours.iterator(FIRST)
    wire.truncate(50, times=1)
    status, headers, body = raw_get_records(wire.port, token)
    assert status == 200
    assert len(body) == 50 < int(headers["content-length"])


def test_a_reset_comes_in_mid_body(wire: WireServer, ours: Stream) -> None:
    ours.put(bytes(1000))
    token = ours.iterator(FIRST)
    wire.reset_connection(50, times=1)
    with pytest.raises(ConnectionResetError):
        raw_get_records(wire.port, token)
    wire.reset_connection(50, times=1)
    with pytest.raises(BotoCoreError):
        ours.client.get_records(ShardIterator=token)
    assert datas(ours.client.get_records(ShardIterator=token)["Records"]) == [bytes(1000)]


def test_a_put_that_is_reset_was_carried_out(wire: WireServer, ours: Stream) -> None:
    wire.reset_connection(0, Scope(operation="PutRecord"), times=1)
    with pytest.raises(BotoCoreError):
        ours.put(b"written")
    assert datas(ours.read(FIRST)["Records"]) == [b"written"]


def test_child_shards_can_be_left_out(wire: WireServer, ours: Stream) -> None:
    ours.split(FIRST)
    assert len(ours.read(FIRST)["ChildShards"]) == 2
    wire.settings(child_shards=False)
    answer = ours.read(FIRST)
    assert "ChildShards" not in answer
    assert answer.get("NextShardIterator") is None


def test_a_shard_can_end_one_call_late(wire: WireServer, ours: Stream) -> None:
    ours.put(b"last")
    ours.split(FIRST)
    wire.settings(ends_late=True)
    answer = ours.read(FIRST)
    assert datas(answer["Records"]) == [b"last"]
    answer = ours.client.get_records(ShardIterator=answer["NextShardIterator"])
    assert answer["Records"] == []
    assert answer.get("NextShardIterator") is None


def test_calls_are_counted_by_shard(wire: WireServer, ours: Stream) -> None:
    ours.put(b"x")
    wire.reset_stats()
    for _ in range(3):
        ours.read(FIRST)
    of_shard = wire.stats()["streams"][ours.name][FIRST]
    assert of_shard["GetRecords"]["calls"] == 3
    assert of_shard["GetRecords"]["records"] == 3
    assert of_shard["GetShardIterator"]["calls"] == 3
    assert len(wire.calls("GetRecords", stream=ours.name, shard=FIRST)) == 3
    assert wire.calls("GetRecords", stream="another") == []


def test_a_client_keeps_its_connection(wire: WireServer, ours: Stream) -> None:
    before = wire.stats()["connections"]
    for _ in range(5):
        ours.read(FIRST)
    # Each call of the control interface is a connection of its own.
    assert wire.stats()["connections"] == before + 1


@pytest.mark.parametrize(
    "order",
    [
        {"effect": {"kind": "explode"}},
        {"effect": {"kind": "throttle"}, "times": 1, "for_ms": 1},
        {"effect": {"kind": "throttle"}, "scope": {"shards": "a"}},
        {},
    ],
)
def test_an_order_that_means_nothing_is_refused(wire: WireServer, order: object) -> None:
    with pytest.raises(ValueError, match="POST faults: "):
        wire._post("faults", order)


def test_most_within_counts_a_sliding_span() -> None:
    assert most_within([], 1000) == 0
    assert most_within([0, 500, 999, 1000, 1400], 1000) == 4
    assert most_within([0, 1000, 2000], 1000) == 1


def raw_get_records(port: int, token: str) -> tuple[int, dict[str, str], bytes]:
    """GetRecords on a plain socket: status, headers, and as much of the body as came."""
    request = json.dumps({"ShardIterator": token}).encode()
    head = (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: Kinesis_20131202.GetRecords\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kinesis/aws4_request\r\n"
        f"Connection: close\r\nContent-Length: {len(request)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split(" ")[1]), headers, body
