"""Reads: where iterators stand, what a page holds, how a shard ends."""

import time
from typing import Any

import pytest

from tests.wire.kit import Server, Stream, datas, refused

FIRST = "shardId-000000000000"


def put_letters(made: Stream, letters: str = "abc") -> list[str]:
    return [made.put(letter.encode())["SequenceNumber"] for letter in letters]


def test_numbers_have_56_digits_and_rise(one_shard: Stream) -> None:
    numbers = put_letters(one_shard, "abcdefgh")
    assert all(len(number) == 56 for number in numbers)
    assert numbers == sorted(set(numbers))
    starting = one_shard.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert len(starting) == 56
    assert starting < numbers[0]


def test_trim_horizon_reads_from_the_oldest(one_shard: Stream) -> None:
    numbers = put_letters(one_shard)
    records = one_shard.read(FIRST)["Records"]
    assert datas(records) == [b"a", b"b", b"c"]
    assert [record["SequenceNumber"] for record in records] == numbers
    assert {record["PartitionKey"] for record in records} == {"k"}
    assert abs(records[0]["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60


def test_latest_reads_only_what_comes_later(one_shard: Stream) -> None:
    put_letters(one_shard)
    token = one_shard.iterator(FIRST, "LATEST")
    answer = one_shard.client.get_records(ShardIterator=token)
    assert answer["Records"] == []
    one_shard.put(b"later")
    answer = one_shard.client.get_records(ShardIterator=answer["NextShardIterator"])
    assert datas(answer["Records"]) == [b"later"]


def test_a_number_reads_from_it_or_after_it(one_shard: Stream) -> None:
    numbers = put_letters(one_shard)
    at = one_shard.read(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])
    assert datas(at["Records"]) == [b"b", b"c"]
    after = one_shard.read(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])
    assert datas(after["Records"]) == [b"c"]


def test_the_number_of_a_shards_start_reads_all_of_it(one_shard: Stream) -> None:
    put_letters(one_shard)
    start = one_shard.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    read = one_shard.read(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=start)
    assert datas(read["Records"]) == [b"a", b"b", b"c"]


def test_a_time_reads_from_the_next_record(one_shard: Stream) -> None:
    put_letters(one_shard, "ab")
    time.sleep(0.05)
    between = time.time()
    time.sleep(0.05)
    put_letters(one_shard, "cd")
    assert datas(one_shard.read(FIRST, "AT_TIMESTAMP", Timestamp=between)["Records"]) == [
        b"c",
        b"d",
    ]
    early = one_shard.read(FIRST, "AT_TIMESTAMP", Timestamp=1_000_000_000)
    assert len(early["Records"]) == 4


def test_a_time_in_the_future_is_refused(one_shard: Stream) -> None:
    put_letters(one_shard)
    with refused("InvalidArgumentException"):
        one_shard.iterator(FIRST, "AT_TIMESTAMP", Timestamp=time.time() + 3600)


def test_a_type_without_its_argument_is_refused(one_shard: Stream) -> None:
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"):
        with refused("InvalidArgumentException"):
            one_shard.iterator(FIRST, kind)


@pytest.mark.parametrize("number", ["123", "9" * 56])
def test_a_nonsense_number_is_refused(one_shard: Stream, number: str) -> None:
    with refused("InvalidArgumentException"):
        one_shard.iterator(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)


def test_a_number_of_another_shard_is_refused(two_shards: Stream) -> None:
    other = two_shards.put(b"x", ExplicitHashKey=str(2**128 - 2))["SequenceNumber"]
    with refused("InvalidArgumentException"):
        two_shards.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=other)


def test_an_iterator_goes_by_arn(one_shard: Stream) -> None:
    put_letters(one_shard)
    summary = one_shard.client.describe_stream_summary(StreamName=one_shard.name)
    token = one_shard.client.get_shard_iterator(
        StreamARN=summary["StreamDescriptionSummary"]["StreamARN"],
        ShardId=FIRST,
        ShardIteratorType="TRIM_HORIZON",
    )["ShardIterator"]
    assert len(one_shard.client.get_records(ShardIterator=token)["Records"]) == 3


def test_an_iterator_reads_the_same_twice(one_shard: Stream) -> None:
    put_letters(one_shard)
    token = one_shard.iterator(FIRST)
    first, second = (one_shard.client.get_records(ShardIterator=token) for _ in range(2))
    assert first["Records"] == second["Records"]


def test_a_garbage_iterator_is_refused(server: Server) -> None:
    for token in ("garbage", "AAAA", "x" * 200):
        with refused("InvalidArgumentException"):
            server.client.get_records(ShardIterator=token)


def test_a_limit_cuts_the_page_and_the_next_goes_on(one_shard: Stream) -> None:
    put_letters(one_shard, "abcde")
    seen: list[bytes] = []
    token = one_shard.iterator(FIRST)
    while len(seen) < 5:
        answer = one_shard.client.get_records(ShardIterator=token, Limit=2)
        assert 0 < len(answer["Records"]) <= 2
        seen += datas(answer["Records"])
        token = answer["NextShardIterator"]
    assert seen == [b"a", b"b", b"c", b"d", b"e"]


def test_a_limit_out_of_range_is_refused(one_shard: Stream) -> None:
    token = one_shard.iterator(FIRST)
    for limit in (0, 10_001):
        with refused("InvalidArgumentException", "ValidationException"):
            one_shard.client.get_records(ShardIterator=token, Limit=limit)


def test_a_page_stops_at_ten_mebibytes(one_shard: Stream) -> None:
    blob = bytes(1 << 20)
    for _ in range(12):
        one_shard.put(blob)
    first = one_shard.read(FIRST)
    assert 9 <= len(first["Records"]) <= 10
    assert first["MillisBehindLatest"] > 0
    rest = one_shard.client.get_records(ShardIterator=first["NextShardIterator"])
    assert len(first["Records"]) + len(rest["Records"]) == 12
    assert rest["MillisBehindLatest"] == 0


def test_a_reader_behind_is_told_so(one_shard: Stream) -> None:
    put_letters(one_shard)
    time.sleep(0.05)
    token = one_shard.iterator(FIRST)
    behind = one_shard.client.get_records(ShardIterator=token, Limit=1)
    assert behind["MillisBehindLatest"] > 0
    caught_up = one_shard.client.get_records(ShardIterator=behind["NextShardIterator"])
    assert len(caught_up["Records"]) == 2
    assert caught_up["MillisBehindLatest"] == 0


def end_of(made: Stream, shard: str) -> dict[str, Any]:
    """The last answer of a closed shard: the one without a next iterator."""
    answer = made.read(shard)
    for _ in range(5):
        if answer.get("NextShardIterator") is None:
            return answer
        answer = made.client.get_records(ShardIterator=answer["NextShardIterator"])
    raise AssertionError("a closed shard did not end")


def test_a_closed_shard_stays_readable_and_ends(one_shard: Stream) -> None:
    put_letters(one_shard)
    one_shard.split(FIRST)
    assert datas(one_shard.drain(FIRST)) == [b"a", b"b", b"c"]
    assert end_of(one_shard, FIRST).get("NextShardIterator") is None


def test_an_open_shard_does_not_end(one_shard: Stream) -> None:
    token = one_shard.iterator(FIRST)
    for _ in range(3):
        token = one_shard.client.get_records(ShardIterator=token)["NextShardIterator"]
        assert token


def test_the_last_answer_of_a_split_shard_names_its_children(one_shard: Stream) -> None:
    put_letters(one_shard)
    one_shard.split(FIRST)
    last = end_of(one_shard, FIRST)
    children = {child["ShardId"]: child for child in last["ChildShards"]}
    assert sorted(children) == one_shard.ids()[1:]
    for shard in one_shard.shards()[1:]:
        child = children[shard["ShardId"]]
        assert child["ParentShards"] == [FIRST]
        assert child["HashKeyRange"] == shard["HashKeyRange"]


def test_the_last_answers_of_merged_shards_name_one_child(two_shards: Stream) -> None:
    parents = two_shards.ids()
    two_shards.merge(*parents)
    for parent in parents:
        (child,) = end_of(two_shards, parent)["ChildShards"]
        assert child["ShardId"] == "shardId-000000000002"
        assert sorted(child["ParentShards"]) == parents


def test_an_iterator_before_the_split_reads_to_the_end(one_shard: Stream) -> None:
    token = one_shard.iterator(FIRST, "LATEST")
    one_shard.put(b"before")
    one_shard.split(FIRST)
    one_shard.put(b"after")
    answer = one_shard.client.get_records(ShardIterator=token)
    assert datas(answer["Records"]) == [b"before"]
