"""What only our server has: shards that split and roll on command, a clock, faults."""

import json
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from tests.services.dynamodb import call
from tests.services.wire import DynamoDbServer, Garbage, Scope, dynamodb_server, error
from tests.wire.dynamodb_kit import Table, database, key_of, number, table, text
from tests.wire.kit import eventually, refused

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def test_a_new_stream_has_four_open_shards(own: Table) -> None:
    shards = own.shards()
    assert len(shards) == 4
    assert not any(own.is_closed(shard["ShardId"]) for shard in shards)
    for key in range(64):
        own.put(id=number(key))
    assert all(own.drain(shard["ShardId"]) for shard in shards)


def test_shards_roll_every_four_hours(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1), word=text("before"))
    roots = own.ids()
    dynamo.advance(4 * HOUR_MS - MINUTE_MS)
    assert own.ids() == roots
    dynamo.advance(2 * MINUTE_MS)
    own.put(id=number(1), word=text("after"))
    shards = own.shards()
    assert sorted(one["ParentShardId"] for one in shards[4:]) == roots
    assert all(own.is_closed(root) for root in roots)
    words = [one["dynamodb"]["NewImage"]["word"]["S"] for one in own.records()]
    assert words == ["before", "after"]


def test_a_long_pause_rolls_shards_generation_by_generation(
    dynamo: DynamoDbServer, own: Table
) -> None:
    dynamo.advance(13 * HOUR_MS)
    shards = own.shards()
    assert len(shards) == 4 * 4
    times = sorted({int(one["ShardId"].split("-")[1]) for one in shards})
    assert [later - times[0] for later in times] == [nth * 4 * HOUR_MS for nth in range(4)]


def test_a_closed_shard_ends_with_its_last_record(dynamo: DynamoDbServer, own: Table) -> None:
    for nth in range(3):
        own.put(id=number(1), nth=number(nth))
    shard = own.home(1)
    token = own.iterator(shard, "LATEST")
    (child,) = dynamo.roll(own.name, shard)
    described = {one["ShardId"]: one for one in own.shards()}
    records = own.drain(shard)
    span = described[shard]["SequenceNumberRange"]
    assert span["EndingSequenceNumber"] == records[-1]["dynamodb"]["SequenceNumber"]
    assert described[child]["ParentShardId"] == shard
    starts = int(described[child]["SequenceNumberRange"]["StartingSequenceNumber"])
    assert starts > int(span["EndingSequenceNumber"])
    for answer in (own.read(shard), own.get(token)):
        assert "NextShardIterator" not in answer
    own.put(id=number(1), nth=number(9))
    assert len(own.drain(child)) == 1
    after = {"SequenceNumber": span["EndingSequenceNumber"]}
    answer = own.read(shard, "AFTER_SEQUENCE_NUMBER", **after)
    assert answer["Records"] == []
    assert "NextShardIterator" not in answer


def test_a_shard_without_records_rolls_too(dynamo: DynamoDbServer, own: Table) -> None:
    shard = own.ids()[0]
    dynamo.roll(own.name, shard)
    span = next(one for one in own.shards() if one["ShardId"] == shard)["SequenceNumberRange"]
    assert span["EndingSequenceNumber"] == span["StartingSequenceNumber"]
    answer = own.read(shard)
    assert answer["Records"] == []
    assert "NextShardIterator" not in answer


def test_numbers_get_longer_along_a_lineage(dynamo: DynamoDbServer, own: Table) -> None:
    for nth in range(12):
        own.put(id=number(1), nth=number(nth))
        dynamo.roll(own.name)
    numbers = [one["dynamodb"]["SequenceNumber"] for one in own.records()]
    assert [int(one) for one in numbers] == sorted(int(one) for one in numbers)
    assert numbers != sorted(numbers)


def test_a_shard_splits_into_several(dynamo: DynamoDbServer, own: Table) -> None:
    for key in range(64):
        own.put(id=number(key), word=text("before"))
    children = dynamo.split(own.name, children=3)
    assert len(children) == 12
    for key in range(64):
        own.put(id=number(key), word=text("after"))
    parents = {one["ShardId"]: one.get("ParentShardId") for one in own.shards()}
    home_before = {key_of(one): shard for shard in own.ids() for one in own.drain(shard)[:]}
    assert set(home_before.values()) == set(children)
    for shard in set(parents) - set(children):
        for record in own.drain(shard):
            assert parents[home_before[key_of(record)]] == shard


def test_only_open_shards_split(dynamo: DynamoDbServer, own: Table) -> None:
    shard = own.ids()[0]
    dynamo.split(own.name, shard)
    with pytest.raises(ValueError, match="no open shard"):
        dynamo.split(own.name, shard)
    with pytest.raises(ValueError, match="no table nowhere"):
        dynamo.split("nowhere")
    with pytest.raises(ValueError, match="children"):
        dynamo.split(own.name, children=0)


def test_shards_are_described_in_pages_of_a_hundred(dynamo: DynamoDbServer, own: Table) -> None:
    dynamo.split(own.name, children=60)
    page = own.stream()
    assert len(page["Shards"]) == 100
    ids = own.ids()
    assert len(ids) == len(set(ids)) == 4 + 4 * 60
    few = own.stream(Limit=3)
    assert len(few["Shards"]) == 3
    rest = own.stream(ExclusiveStartShardId=few["LastEvaluatedShardId"], Limit=3)["Shards"]
    assert not {one["ShardId"] for one in rest} & {one["ShardId"] for one in few["Shards"]}


def test_a_filter_chooses_the_children_of_a_shard(dynamo: DynamoDbServer, own: Table) -> None:
    shard, other = own.ids()[:2]
    children = dynamo.split(own.name, shard, children=3)
    dynamo.roll(own.name, other)

    def children_of(parent: str) -> list[str]:
        wanted = {"Type": "CHILD_SHARDS", "ShardId": parent}
        return [one["ShardId"] for one in own.stream(ShardFilter=wanted)["Shards"]]

    assert sorted(children_of(shard)) == sorted(children)
    assert children_of(children[0]) == []
    for wrong in ({"Type": "CHILD_SHARDS"}, {"Type": "PARENTS", "ShardId": shard}):
        with refused("ValidationException"):
            own.stream(ShardFilter=wrong)


def test_after_a_day_records_are_trimmed(dynamo: DynamoDbServer, own: Table) -> None:
    dynamo.settings(roll_ms=None)
    own.put(id=number(1), word=text("old"))
    shard = own.home(1)
    old = own.drain(shard)[0]["dynamodb"]["SequenceNumber"]
    dynamo.advance(23 * HOUR_MS)
    own.put(id=number(1), word=text("young"))
    assert len(own.drain(shard)) == 2
    dynamo.advance(2 * HOUR_MS)
    (young,) = own.drain(shard)
    assert young["dynamodb"]["NewImage"]["word"] == text("young")
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        with refused("TrimmedDataAccessException"):
            own.iterator(shard, kind, SequenceNumber=old)


def test_an_iterator_whose_record_is_trimmed_reaches_past_it(
    dynamo: DynamoDbServer, own: Table
) -> None:
    for nth in range(3):
        own.put(id=number(1), nth=number(nth))
    shard = own.home(1)
    records = own.drain(shard)
    token = own.iterator(shard, "TRIM_HORIZON")
    below = records[1]["dynamodb"]["SequenceNumber"]
    assert dynamo.trim(own.name, shard, below=below) == 1
    with refused("TrimmedDataAccessException"):
        own.get(token)
    assert own.drain(shard) == records[1:]
    assert dynamo.trim(own.name, shard) == 2
    assert own.drain(shard) == []


def test_closed_shards_and_disabled_streams_go_after_a_day(
    dynamo: DynamoDbServer, own: Table
) -> None:
    own.put(id=number(1))
    roots, arn = own.ids(), own.arn()
    dynamo.roll(own.name)
    dynamo.advance(HOUR_MS)
    own.disable()
    dynamo.advance(23 * HOUR_MS - MINUTE_MS)
    assert set(roots) < {one["ShardId"] for one in own.shards(arn)}
    dynamo.advance(2 * MINUTE_MS)
    assert not set(roots) & {one["ShardId"] for one in own.shards(arn)}
    with refused("ResourceNotFoundException"):
        own.iterator(roots[0], "TRIM_HORIZON", arn)
    dynamo.advance(HOUR_MS)
    with refused("ResourceNotFoundException"):
        own.stream(arn)
    assert own.database.streams.list_streams(TableName=own.name)["Streams"] == []


def test_an_iterator_lives_for_fifteen_minutes(dynamo: DynamoDbServer, own: Table) -> None:
    token = own.iterator(own.ids()[0], "LATEST")
    dynamo.advance(15 * MINUTE_MS - 2000)
    own.get(token)
    dynamo.advance(3000)
    with refused("ExpiredIteratorException"):
        own.get(token)


def test_iterators_expire_on_command_and_new_ones_work(dynamo: DynamoDbServer, own: Table) -> None:
    shard, other = own.ids()[:2]
    token = own.iterator(shard, "LATEST")
    dynamo.expire_iterators(own.name, other)
    own.get(token)
    dynamo.expire_iterators(own.name)
    with refused("ExpiredIteratorException"):
        own.get(token)
    own.read(shard)


def test_the_service_deletes_an_item_whose_time_is_over(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1), word=text("a"))
    own.put(id=number(2), word=text("b"))
    assert dynamo.ttl_delete(own.name, {"id": number(1)})
    assert not dynamo.ttl_delete(own.name, {"id": number(1)})
    own.delete(2)
    removed = {key_of(one): one for one in own.records() if one["eventName"] == "REMOVE"}
    assert removed[1]["userIdentity"] == {
        "PrincipalId": "dynamodb.amazonaws.com",
        "Type": "Service",
    }
    assert removed[1]["dynamodb"]["OldImage"]["word"] == text("a")
    assert "userIdentity" not in removed[2]


def test_a_shard_can_end_one_call_late(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1))
    shard = own.home(1)
    dynamo.roll(own.name)
    dynamo.settings(ends_late=True)
    answer = own.read(shard)
    assert len(answer["Records"]) == 1
    answer = own.get(answer["NextShardIterator"])
    assert answer["Records"] == []
    assert "NextShardIterator" not in answer


def test_a_stream_is_enabling_and_disabling_for_a_while(dynamo: DynamoDbServer, own: Table) -> None:
    dynamo.settings(update_ms=HOUR_MS)
    tables, arn = own.database.tables, own.arn()
    off: dict[str, Any] = {"StreamEnabled": False}
    tables.update_table(TableName=own.name, StreamSpecification=off)
    assert own.stream(arn)["StreamStatus"] == "DISABLING"
    assert own.describe()["TableStatus"] == "UPDATING"
    with refused("ResourceInUseException"):
        tables.update_table(TableName=own.name, StreamSpecification=off)
    dynamo.advance(HOUR_MS)
    assert own.stream(arn)["StreamStatus"] == "DISABLED"
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    tables.update_table(TableName=own.name, StreamSpecification=on)
    assert own.stream()["StreamStatus"] == "ENABLING"
    dynamo.advance(HOUR_MS)
    assert own.stream()["StreamStatus"] == "ENABLED"


def test_arguments_set_how_it_begins() -> None:
    with dynamodb_server("--shards", "2", "--roll-ms", "0", "--create-ms", "0") as server:
        made = database("penstock", server.endpoint)
        with table(made) as one:
            assert len(one.ids()) == 2
            server.advance(DAY_MS - MINUTE_MS)
            assert len(one.ids()) == 2


def test_throttling_speaks_as_each_service_does(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1))
    token = own.iterator(own.home(1), "TRIM_HORIZON")
    dynamo.throttle(times=1)
    with refused("LimitExceededException"):
        own.get(token)
    dynamo.throttle(Scope(operation="PutItem"), times=1)
    with refused("ProvisionedThroughputExceededException"):
        own.put(id=number(2))
    assert len(own.get(token)["Records"]) == 1


def test_faults_have_the_scope_of_a_table_and_a_shard(dynamo: DynamoDbServer, own: Table) -> None:
    shard, other = own.ids()[:2]
    dynamo.fault(error(500, "InternalServerError", "no"), Scope(stream=own.name, shard=shard))
    with refused("InternalServerError"):
        own.iterator(shard, "LATEST")
    own.read(other)
    dynamo.clear()
    dynamo.fault(error(500, "InternalServerError", "no"), Scope(stream=own.name))
    with refused("InternalServerError"):
        own.batch({"PutRequest": {"Item": {"id": number(1)}}})
    dynamo.fault(error(500, "InternalServerError", "no"), Scope(stream="another"))
    dynamo.clear()
    own.put(id=number(1))


def test_no_records_though_there_are_some(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1))
    shard = own.home(1)
    dynamo.roll(own.name)
    dynamo.empty(times=1)
    answer = own.read(shard)
    assert answer["Records"] == []
    assert len(own.get(answer["NextShardIterator"])["Records"]) == 1


@pytest.mark.parametrize("form", ["unknown_fields", "escapes"])
def test_unusual_json_says_the_same(dynamo: DynamoDbServer, own: Table, form: Garbage) -> None:
    for nth in range(3):
        own.put(id=number(1), nth=number(nth))
    shard = own.home(1)
    token = own.iterator(shard, "TRIM_HORIZON")
    _, _, plain = call(own.database.port, "Streams.GetRecords", {"ShardIterator": token})
    dynamo.garbage(form, times=1)
    _, _, unusual = call(own.database.port, "Streams.GetRecords", {"ShardIterator": token})
    assert [one["dynamodb"] for one in unusual["Records"]] == [
        one["dynamodb"] for one in plain["Records"]
    ]
    assert ("Unknown" in json.dumps(unusual)) == (form == "unknown_fields")


def test_a_reset_comes_in_mid_body(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1), word=text("x" * 1000))
    token = own.iterator(own.home(1), "TRIM_HORIZON")
    dynamo.reset_connection(50, times=1)
    with pytest.raises(BotoCoreError):
        own.get(token)
    assert len(own.get(token)["Records"]) == 1


def test_calls_are_counted_by_table_and_shard(dynamo: DynamoDbServer, own: Table) -> None:
    own.put(id=number(1))
    shard = own.home(1)
    dynamo.reset_stats()
    own.read(shard)
    counts = dynamo.stats()["streams"][own.name][shard]
    assert counts["GetShardIterator"]["calls"] == 1
    assert counts["GetRecords"]["records"] == 1


def test_what_this_server_does_not_know_it_refuses(own: Table) -> None:
    tables = own.database.tables
    item = {"id": number(1)}
    with refused("ValidationException"):
        tables.put_item(
            TableName=own.name, Item=item, ConditionExpression="attribute_not_exists(id)"
        )
    with refused("ValidationException"):
        tables.update_table(TableName=own.name, BillingMode="PROVISIONED")
    with refused("ValidationException"):
        own.update(1, "ADD amount :v", v=number(1))
    with refused("ValidationException"):
        own.update(1, "SET deep.down = :v", v=number(1))
    assert own.records() == []


def test_an_order_that_means_nothing_is_refused(dynamo: DynamoDbServer, own: Table) -> None:
    for settings in ({"read_limits": None}, {"roll_ms": 0}, {"shards": 0}):
        with pytest.raises(ValueError, match="POST settings: "):
            dynamo.settings(**settings)
    with pytest.raises(ValueError, match="no shard"):
        dynamo.trim(own.name, "shardId-none")
    with pytest.raises(ValueError, match="key element does not match"):
        dynamo.ttl_delete(own.name, {"other": number(1)})


def test_a_table_is_creating_and_deleting_for_a_while() -> None:
    with dynamodb_server("--create-ms", "100", "--delete-ms", "100") as server:
        made = database("penstock", server.endpoint)
        with table(made) as one:
            made.tables.delete_table(TableName=one.name)
            assert one.describe()["TableStatus"] == "DELETING"
            with refused("ResourceNotFoundException"):
                one.put(id=number(1))
            eventually(lambda: one.name not in made.tables.list_tables()["TableNames"])
