"""Iterators and GetRecords: from where, how much, and what is refused."""

from tests.wire.dynamodb_kit import Table, number, text
from tests.wire.kit import refused


def filled(items: Table, count: int) -> tuple[str, list[str]]:
    """Writes one item so often; returns its shard and the numbers of its records."""
    for nth in range(count):
        items.put(id=number(1), nth=number(nth))
    shard = items.home(1)
    return shard, [one["dynamodb"]["SequenceNumber"] for one in items.drain(shard)]


def numbers(answer: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [record["dynamodb"]["SequenceNumber"] for record in answer["Records"]]


def test_an_iterator_starts_where_it_is_told(items: Table) -> None:
    shard, all_numbers = filled(items, 4)
    at = {"SequenceNumber": all_numbers[1]}
    assert numbers(items.read(shard, "TRIM_HORIZON")) == all_numbers
    assert numbers(items.read(shard, "AT_SEQUENCE_NUMBER", **at)) == all_numbers[1:]
    assert numbers(items.read(shard, "AFTER_SEQUENCE_NUMBER", **at)) == all_numbers[2:]
    assert numbers(items.read(shard, "LATEST")) == []


def test_after_the_last_record_there_is_nothing_yet(items: Table) -> None:
    shard, all_numbers = filled(items, 2)
    answer = items.read(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=all_numbers[-1])
    assert answer["Records"] == []
    items.put(id=number(1), nth=number(9))
    assert len(items.get(answer["NextShardIterator"])["Records"]) == 1


def test_latest_sees_what_comes_later(items: Table) -> None:
    shard, _ = filled(items, 1)
    token = items.iterator(shard, "LATEST")
    items.put(id=number(1), nth=number(1))
    items.put(id=number(1), nth=number(2))
    assert len(items.get(token)["Records"]) == 2


def test_an_iterator_can_be_used_again(items: Table) -> None:
    shard, all_numbers = filled(items, 2)
    token = items.iterator(shard, "TRIM_HORIZON")
    assert numbers(items.get(token)) == numbers(items.get(token)) == all_numbers


def test_the_starting_number_of_a_shard_reads_from_its_first_record(items: Table) -> None:
    shard, all_numbers = filled(items, 2)
    described = next(one for one in items.shards() if one["ShardId"] == shard)
    start = described["SequenceNumberRange"]["StartingSequenceNumber"]
    read = items.read(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=start)
    assert numbers(read) == all_numbers


def test_a_page_has_as_many_records_as_asked(items: Table) -> None:
    shard, all_numbers = filled(items, 5)
    answer = items.get(items.iterator(shard, "TRIM_HORIZON"), Limit=2)
    assert numbers(answer) == all_numbers[:2]
    answer = items.get(answer["NextShardIterator"], Limit=1000)
    assert numbers(answer) == all_numbers[2:]


def test_a_page_has_at_most_a_thousand_records(items: Table) -> None:
    for start in range(0, 1100, 25):
        puts = range(start, start + 25)
        items.batch(*({"PutRequest": {"Item": {"id": number(key)}}} for key in puts))
    pages = [len(items.read(shard)["Records"]) for shard in items.ids()]
    assert max(pages) <= 1000
    assert len(items.records()) == 1100
    with refused("ValidationException"):
        items.get(items.iterator(items.ids()[0], "TRIM_HORIZON"), Limit=1001)
    with refused("ValidationException"):
        items.get(items.iterator(items.ids()[0], "TRIM_HORIZON"), Limit=0)


def test_a_page_stops_at_a_mebibyte(items: Table) -> None:
    for nth in range(8):
        items.put(id=number(1), nth=number(nth), word=text("x" * 200_000))
    shard = items.home(1)
    page = items.read(shard)["Records"]
    assert 0 < sum(one["dynamodb"]["SizeBytes"] for one in page) <= 1 << 20
    assert len(items.drain(shard)) == 8


def test_a_kind_of_iterator_it_does_not_know_is_refused(items: Table) -> None:
    shard = items.ids()[0]
    for kind in ("AT_TIMESTAMP", "latest"):
        with refused("ValidationException"):
            items.iterator(shard, kind)


def test_a_number_goes_with_its_kinds_of_iterator_only(items: Table) -> None:
    shard, all_numbers = filled(items, 1)
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        with refused("ValidationException"):
            items.iterator(shard, kind)
    for kind in ("TRIM_HORIZON", "LATEST"):
        with refused("ValidationException"):
            items.iterator(shard, kind, SequenceNumber=all_numbers[0])


def test_a_nonsense_number_is_refused(items: Table) -> None:
    shard, _ = filled(items, 1)
    for nonsense in ("1", "x" * 21, "9" * 41, "9" * 40):
        with refused("ValidationException"):
            items.iterator(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=nonsense)


def test_a_garbage_iterator_is_refused(items: Table) -> None:
    for garbage in ("garbage", "Z2FyYmFnZQ==", "a|b|c"):
        with refused("ValidationException"):
            items.get(garbage)


def test_an_unknown_shard_is_not_found(items: Table) -> None:
    with refused("ResourceNotFoundException"):
        items.iterator("shardId-00000001795537219845-06473be1", "LATEST")


def test_an_unknown_stream_is_not_found(items: Table) -> None:
    shard, arn = items.ids()[0], items.arn()[:-3] + "000"
    with refused("ResourceNotFoundException"):
        items.iterator(shard, "LATEST", arn)
    with refused("ResourceNotFoundException"):
        items.stream(arn)
