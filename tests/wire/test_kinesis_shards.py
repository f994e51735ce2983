"""Shards: how they are listed, and how split and merge change them."""

import time
from typing import Any

from tests.wire.kit import Server, Stream, datas, refused, stream

LAST_HASH = 2**128 - 1


def listed(made: Stream, **request: object) -> list[str]:
    answer = made.client.list_shards(StreamName=made.name, **request)
    return [shard["ShardId"] for shard in answer["Shards"]]


def arn_of(made: Stream) -> str:
    summary: dict[str, Any] = made.client.describe_stream_summary(StreamName=made.name)
    return str(summary["StreamDescriptionSummary"]["StreamARN"])


def test_shards_cover_all_hash_keys_once(server: Server) -> None:
    with stream(server.client, shards=3) as made:
        next_start = 0
        for shard in made.shards():
            assert int(shard["HashKeyRange"]["StartingHashKey"]) == next_start
            next_start = int(shard["HashKeyRange"]["EndingHashKey"]) + 1
        assert next_start == LAST_HASH + 1
        assert made.ids() == [f"shardId-{nth:012}" for nth in range(3)]


def test_a_list_comes_in_pages_by_bare_token(server: Server) -> None:
    with stream(server.client, shards=5) as made:
        page = made.client.list_shards(StreamName=made.name, MaxResults=2)
        seen = page["Shards"]
        while "NextToken" in page:
            page = made.client.list_shards(NextToken=page["NextToken"], MaxResults=2)
            assert len(page["Shards"]) <= 2
            seen += page["Shards"]
        assert [shard["ShardId"] for shard in seen] == made.ids()


def test_a_token_and_a_name_exclude_each_other(server: Server) -> None:
    with stream(server.client, shards=3) as made:
        page = made.client.list_shards(StreamName=made.name, MaxResults=1)
        with refused("InvalidArgumentException"):
            made.client.list_shards(StreamName=made.name, NextToken=page["NextToken"])


def test_a_token_keeps_its_filter(server: Server) -> None:
    with stream(server.client, shards=3) as made:
        made.split("shardId-000000000000")
        page = made.client.list_shards(
            StreamName=made.name, MaxResults=1, ShardFilter={"Type": "AT_LATEST"}
        )
        seen = page["Shards"]
        while "NextToken" in page:
            page = made.client.list_shards(NextToken=page["NextToken"], MaxResults=1)
            seen += page["Shards"]
        assert [shard["ShardId"] for shard in seen] == made.ids()[1:]


def test_a_list_goes_by_arn(two_shards: Stream) -> None:
    answer = two_shards.client.list_shards(StreamARN=arn_of(two_shards))
    assert [shard["ShardId"] for shard in answer["Shards"]] == two_shards.ids()


def test_a_list_starts_after_a_shard(two_shards: Stream) -> None:
    assert listed(two_shards, ExclusiveStartShardId="shardId-000000000000") == two_shards.ids()[1:]


def test_at_latest_lists_open_shards(two_shards: Stream) -> None:
    two_shards.split("shardId-000000000000")
    assert listed(two_shards, ShardFilter={"Type": "AT_LATEST"}) == two_shards.ids()[1:]


def test_at_trim_horizon_lists_the_first_shards(two_shards: Stream) -> None:
    two_shards.split("shardId-000000000000")
    assert listed(two_shards, ShardFilter={"Type": "AT_TRIM_HORIZON"}) == two_shards.ids()[:2]


def test_from_trim_horizon_lists_all_shards(two_shards: Stream) -> None:
    two_shards.split("shardId-000000000000")
    assert listed(two_shards, ShardFilter={"Type": "FROM_TRIM_HORIZON"}) == two_shards.ids()


def test_after_shard_id_lists_later_shards(two_shards: Stream) -> None:
    two_shards.split("shardId-000000000000")
    chosen = {"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001"}
    assert listed(two_shards, ShardFilter=chosen) == two_shards.ids()[2:]


def test_a_time_lists_the_shards_open_then(one_shard: Stream) -> None:
    time.sleep(0.05)
    before = time.time()
    time.sleep(0.05)
    one_shard.split("shardId-000000000000")
    time.sleep(0.05)
    after = time.time()
    at = {"Type": "AT_TIMESTAMP", "Timestamp": before}
    assert listed(one_shard, ShardFilter=at) == one_shard.ids()[:1]
    assert listed(one_shard, ShardFilter=at | {"Timestamp": after}) == one_shard.ids()[1:]
    since = {"Type": "FROM_TIMESTAMP", "Timestamp": before}
    assert listed(one_shard, ShardFilter=since) == one_shard.ids()
    assert listed(one_shard, ShardFilter=since | {"Timestamp": after}) == one_shard.ids()[1:]


def test_a_filter_without_its_argument_is_refused(one_shard: Stream) -> None:
    for kind in ("AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP"):
        with refused("InvalidArgumentException"):
            listed(one_shard, ShardFilter={"Type": kind})


def test_a_split_makes_two_children(one_shard: Stream) -> None:
    one_shard.split("shardId-000000000000")
    parent, *children = one_shard.shards()
    assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
    assert [child["ShardId"] for child in children] == [
        "shardId-000000000001",
        "shardId-000000000002",
    ]
    for child in children:
        assert child["ParentShardId"] == "shardId-000000000000"
        assert "AdjacentParentShardId" not in child
        assert "EndingSequenceNumber" not in child["SequenceNumberRange"]
    low, high = (child["HashKeyRange"] for child in children)
    assert low["StartingHashKey"] == parent["HashKeyRange"]["StartingHashKey"]
    assert int(low["EndingHashKey"]) + 1 == int(high["StartingHashKey"])
    assert high["EndingHashKey"] == parent["HashKeyRange"]["EndingHashKey"]


def test_a_stream_is_updating_while_it_splits(one_shard: Stream) -> None:
    one_shard.client.split_shard(
        StreamName=one_shard.name,
        ShardToSplit="shardId-000000000000",
        NewStartingHashKey=str(2**127),
    )
    assert one_shard.status() == "UPDATING"
    one_shard.wait()


def test_a_merge_names_both_parents(two_shards: Stream) -> None:
    two_shards.merge("shardId-000000000000", "shardId-000000000001")
    one, other, child = two_shards.shards()
    assert child["ParentShardId"] == "shardId-000000000000"
    assert child["AdjacentParentShardId"] == "shardId-000000000001"
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(LAST_HASH)}
    assert "EndingSequenceNumber" in one["SequenceNumberRange"]
    assert "EndingSequenceNumber" in other["SequenceNumberRange"]


def test_shards_that_are_not_adjacent_do_not_merge(server: Server) -> None:
    with stream(server.client, shards=3) as made, refused("InvalidArgumentException"):
        made.merge("shardId-000000000000", "shardId-000000000002")


def test_a_closed_shard_is_not_split_again(one_shard: Stream) -> None:
    one_shard.split("shardId-000000000000")
    with refused("ResourceInUseException", "InvalidArgumentException"):
        one_shard.client.split_shard(
            StreamName=one_shard.name,
            ShardToSplit="shardId-000000000000",
            NewStartingHashKey=str(2**127),
        )


def split_at(made: Stream, key: int) -> None:
    made.client.split_shard(
        StreamName=made.name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(key)
    )


def test_a_split_outside_the_shard_is_refused(two_shards: Stream) -> None:
    with refused("InvalidArgumentException"):
        split_at(two_shards, 2**127 + 5)


def test_a_split_that_leaves_nothing_below_is_refused(two_shards: Stream) -> None:
    for key in (0, 1):
        with refused("InvalidArgumentException"):
            split_at(two_shards, key)


def test_an_unknown_shard_is_not_found(one_shard: Stream) -> None:
    with refused("ResourceNotFoundException"):
        one_shard.iterator("shardId-000000000009")
    with refused("ResourceNotFoundException"):
        one_shard.client.split_shard(
            StreamName=one_shard.name,
            ShardToSplit="shardId-000000000009",
            NewStartingHashKey=str(2**127),
        )


def test_after_a_split_records_go_to_the_children(one_shard: Stream) -> None:
    before = one_shard.put(b"before")
    one_shard.split("shardId-000000000000")
    low = one_shard.put(b"low", ExplicitHashKey="5")
    high = one_shard.put(b"high", ExplicitHashKey=str(LAST_HASH))
    assert before["ShardId"] == "shardId-000000000000"
    assert (low["ShardId"], high["ShardId"]) == ("shardId-000000000001", "shardId-000000000002")
    assert datas(one_shard.drain("shardId-000000000000")) == [b"before"]
    assert datas(one_shard.drain("shardId-000000000001")) == [b"low"]


def test_numbers_of_children_stand_above_those_of_parents(one_shard: Stream) -> None:
    before = int(one_shard.put(b"before")["SequenceNumber"])
    one_shard.split("shardId-000000000000")
    parent, low, high = one_shard.shards()
    ending = int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
    after = int(one_shard.put(b"after")["SequenceNumber"])
    assert before < ending
    for child in (low, high):
        assert int(child["SequenceNumberRange"]["StartingSequenceNumber"]) > ending
    assert after > ending
