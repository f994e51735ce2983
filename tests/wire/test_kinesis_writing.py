"""Puts: where records go, what comes back, what is refused."""

import hashlib
import os
from typing import Any

from tests.wire.kit import Server, Stream, datas, refused, stream


def owner(made: Stream, hash_key: int) -> str:
    """The open shard whose range holds a hash key."""
    for shard in made.shards():
        keys = shard["HashKeyRange"]
        if int(keys["StartingHashKey"]) <= hash_key <= int(keys["EndingHashKey"]):
            return str(shard["ShardId"])
    raise AssertionError(hash_key)


def entries(count: int, data: bytes = b"x") -> list[dict[str, Any]]:
    return [{"Data": data, "PartitionKey": f"key-{nth}"} for nth in range(count)]


def test_the_md5_of_the_key_chooses_the_shard(server: Server) -> None:
    with stream(server.client, shards=4) as made:
        for key in ("a", "b", "c", "order-7", "ключ", "鍵"):
            hash_key = int(hashlib.md5(key.encode()).hexdigest(), 16)
            assert made.put(b"x", key)["ShardId"] == owner(made, hash_key), key


def test_an_explicit_hash_key_overrules_the_key(two_shards: Stream) -> None:
    ids = two_shards.ids()
    for hash_key, shard in ((1, ids[0]), (2**127 - 2, ids[0]), (2**127, ids[1])):
        assert two_shards.put(b"x", ExplicitHashKey=str(hash_key))["ShardId"] == shard


def test_the_first_and_the_last_hash_key_are_valid(two_shards: Stream) -> None:
    ids = two_shards.ids()
    assert two_shards.put(b"x", ExplicitHashKey="0")["ShardId"] == ids[0]
    assert two_shards.put(b"x", ExplicitHashKey=str(2**128 - 1))["ShardId"] == ids[1]


def test_a_hash_key_beyond_the_last_is_refused(one_shard: Stream) -> None:
    with refused("InvalidArgumentException"):
        one_shard.put(b"x", ExplicitHashKey=str(2**128))


def test_many_records_come_back_in_the_order_they_were_put(two_shards: Stream) -> None:
    records = entries(100)
    for nth, entry in enumerate(records):
        entry["Data"] = b"%d" % nth
    answer = two_shards.client.put_records(StreamName=two_shards.name, Records=records)
    assert answer["FailedRecordCount"] == 0
    assert len(answer["Records"]) == 100
    placed = {
        result["SequenceNumber"]: (result["ShardId"], nth)
        for nth, result in enumerate(answer["Records"])
    }
    seen = 0
    for shard in two_shards.ids():
        drained = two_shards.drain(shard)
        order = [placed[record["SequenceNumber"]] for record in drained]
        assert order == sorted(order)
        assert {where for where, _ in order} == {shard}
        assert [int(data) for data in datas(drained)] == [nth for _, nth in order]
        seen += len(drained)
    assert seen == 100


def test_any_bytes_and_any_key_survive(one_shard: Stream) -> None:
    keys = ['"quoted"', "back\\slash", "tab\tnew\nline", "ключ 鍵 🔑", "k" * 256, "</script>"]
    blobs = [b"", b"\x00\xff\xfe", os.urandom(1000), b"a", b"ab", b"abc"]
    for key, blob in zip(keys, blobs, strict=True):
        one_shard.put(blob, key)
    read = one_shard.drain("shardId-000000000000")
    assert [(record["PartitionKey"], record["Data"]) for record in read] == list(
        zip(keys, blobs, strict=True)
    )


def test_more_than_five_hundred_records_are_refused(one_shard: Stream) -> None:
    one_shard.client.put_records(StreamName=one_shard.name, Records=entries(500))
    with refused("ValidationException"):
        one_shard.client.put_records(StreamName=one_shard.name, Records=entries(501))


def test_no_records_are_refused(one_shard: Stream) -> None:
    with refused("ValidationException"):
        one_shard.client.put_records(StreamName=one_shard.name, Records=[])


def test_more_than_five_mebibytes_are_refused(one_shard: Stream) -> None:
    blob = bytes(1 << 20)
    with refused("InvalidArgumentException"):
        one_shard.client.put_records(StreamName=one_shard.name, Records=entries(5, blob))
    one_shard.client.put_records(StreamName=one_shard.name, Records=entries(4, blob))


def test_a_record_of_more_than_a_mebibyte_is_refused(one_shard: Stream) -> None:
    with refused("ValidationException", "InvalidArgumentException"):
        one_shard.put(bytes((1 << 20) + 1))
    with refused("ValidationException", "InvalidArgumentException"):
        one_shard.client.put_records(
            StreamName=one_shard.name, Records=entries(1, bytes((1 << 20) + 1))
        )


def test_a_key_of_no_or_too_many_characters_is_refused(one_shard: Stream) -> None:
    for key in ("", "k" * 257):
        with refused("ValidationException", "InvalidArgumentException"):
            one_shard.put(b"x", key)
