"""Which tests of DynamoDB do not run against which version of DynamoDB Local, and why.

Nothing else in the suite skips. A test that is not named here runs against all three servers; none
may be named for ours.
"""

LOCAL = "dynamodb-local"
LOCAL_OLD = "dynamodb-local-1.11"
PENSTOCK = "penstock"
SERVERS = (PENSTOCK, LOCAL, LOCAL_OLD)

_ANOTHER_CODE = "calls it MissingAuthenticationToken"
_EMPTY = "writes an empty list or map as a value without a type"
_LARGE_PAGE = "counts a page's bytes otherwise, or not at all"
_MINUTES = "dates records by the minute"
_NUMBER_FAILS = "fails with HTTP 500"
_UUID = "writes a UUID with its hyphens"
_POINT = "writes 0.0"

EXEMPT: dict[str, dict[str, str]] = {
    LOCAL: {
        "test_a_call_without_a_signature_is_refused": _ANOTHER_CODE,
        "test_a_kind_of_iterator_it_does_not_know_is_refused": "fails with HTTP 500",
        "test_a_nonsense_number_is_refused": _NUMBER_FAILS,
        "test_a_page_stops_at_a_mebibyte": _LARGE_PAGE,
        "test_a_record_is_dated_by_the_second": _MINUTES,
        "test_a_stream_needs_a_view": "takes a view with a stream that is switched off",
        "test_an_event_id_is_32_hexadecimal_digits": _UUID,
        "test_empty_lists_and_maps_come_through": _EMPTY,
        "test_a_whole_result_has_no_point": _POINT,
    },
    LOCAL_OLD: {
        "test_a_blank_text_comes_through": "takes no empty text",
        "test_a_call_without_a_signature_is_refused": _ANOTHER_CODE,
        "test_a_nonsense_number_is_refused": _NUMBER_FAILS,
        "test_a_page_stops_at_a_mebibyte": _LARGE_PAGE,
        "test_a_record_is_dated_by_the_second": _MINUTES,
        "test_an_event_id_is_32_hexadecimal_digits": _UUID,
        "test_a_whole_result_has_no_point": _POINT,
    },
}
