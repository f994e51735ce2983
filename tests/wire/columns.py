"""Which tests of the suite do not run against which independent server, and why.

Nothing else in the suite skips. A test that is not named here runs against all three servers; none
may be named for ours.
"""

KINESALITE = "kinesalite"
KINESIS_LOCAL = "kinesis-local"
PENSTOCK = "penstock"
SERVERS = (PENSTOCK, KINESALITE, KINESIS_LOCAL)

# Which tests take an independent server more than five seconds: they run in the slow tier.
SLOW: dict[str, frozenset[str]] = {
    KINESIS_LOCAL: frozenset({"test_a_page_stops_at_ten_mebibytes"}),
}

_NO_ARN = "knows streams by name only"
_NO_FILTER = "ignores ShardFilter"
_NO_TOKEN = "ignores MaxResults and gives no token"
_NO_CHILD_SHARDS = "gives no ChildShards"
_ANOTHER_CODE = "refuses it with another error"

EXEMPT: dict[str, dict[str, str]] = {
    KINESALITE: {
        "test_a_closed_shard_is_not_split_again": "splits it again",
        "test_a_description_comes_in_pages": "ignores Limit",
        "test_a_filter_without_its_argument_is_refused": _NO_FILTER,
        "test_a_list_comes_in_pages_by_bare_token": _NO_TOKEN,
        "test_a_list_goes_by_arn": _NO_ARN,
        "test_a_page_stops_at_ten_mebibytes": "has no cap",
        "test_a_reader_behind_is_told_so": "says 0 until the shard is closed",
        "test_a_stream_is_described_by_its_arn": _NO_ARN,
        "test_a_time_lists_the_shards_open_then": _NO_FILTER,
        "test_a_token_and_a_name_exclude_each_other": _NO_TOKEN,
        "test_a_token_keeps_its_filter": _NO_TOKEN,
        "test_after_shard_id_lists_later_shards": _NO_FILTER,
        "test_an_iterator_goes_by_arn": _NO_ARN,
        "test_at_latest_lists_open_shards": _NO_FILTER,
        "test_at_trim_horizon_lists_the_first_shards": _NO_FILTER,
        "test_more_than_five_mebibytes_are_refused": "answers with HTTP 413",
        "test_the_last_answer_of_a_split_shard_names_its_children": _NO_CHILD_SHARDS,
        "test_the_last_answers_of_merged_shards_name_one_child": _NO_CHILD_SHARDS,
    },
    KINESIS_LOCAL: {
        "test_a_garbage_iterator_is_refused": "fails with HTTP 500",
        "test_a_name_with_a_space_is_refused": _ANOTHER_CODE,
        "test_a_nonsense_number_is_refused": _ANOTHER_CODE,
        "test_a_number_of_another_shard_is_refused": _ANOTHER_CODE,
        "test_a_record_of_more_than_a_mebibyte_is_refused": "takes it in PutRecords",
        "test_a_split_that_leaves_nothing_below_is_refused": "splits there",
        "test_a_time_lists_the_shards_open_then": "lists parents and children",
        "test_an_unknown_operation_is_refused": _ANOTHER_CODE,
        "test_at_trim_horizon_lists_the_first_shards": "lists parents and children",
        "test_more_than_five_hundred_records_are_refused": "takes them",
        "test_more_than_five_mebibytes_are_refused": "takes them",
        "test_no_records_are_refused": "takes none",
        "test_numbers_of_children_stand_above_those_of_parents": (
            "ends every shard at 9223372036854775807"
        ),
    },
}
