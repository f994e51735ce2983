"""Which tests of SQS do not run against which independent server, and why.

Nothing else in the suite skips. A test that is not named here runs against all three servers; none
may be named for ours.
"""

ELASTICMQ = "elasticmq"
MINISTACK = "ministack"
PENSTOCK = "penstock"
SERVERS = (PENSTOCK, ELASTICMQ, MINISTACK)

_ANOTHER_CODE = "refuses it with another error"
_TAKES_IT = "takes it"
_REFUSES = "refuses a receipt whose message is gone"

EXEMPT: dict[str, dict[str, str]] = {
    ELASTICMQ: {
        "test_a_batch_that_is_none_is_refused": "takes entries of any number and any id",
        "test_a_body_larger_than_the_queue_takes_is_refused": _ANOTHER_CODE,
        "test_a_body_with_a_control_character_is_refused": _ANOTHER_CODE,
        "test_a_fifo_queue_needs_its_suffix": _ANOTHER_CODE,
        "test_a_list_comes_in_pages": "ignores MaxResults and gives no token",
        "test_a_name_that_none_can_have_is_refused": _ANOTHER_CODE,
        "test_a_receive_takes_one_to_ten": _ANOTHER_CODE,
        "test_a_wait_longer_than_twenty_seconds_is_refused": _ANOTHER_CODE,
        "test_an_attribute_nobody_knows_is_refused": _TAKES_IT,
        "test_an_empty_body_is_refused": _ANOTHER_CODE,
        "test_deleting_twice_does_no_harm": _REFUSES,
        "test_hiding_longer_than_twelve_hours_is_refused": _TAKES_IT,
        "test_making_another_queue_of_the_same_name_is_refused": _ANOTHER_CODE,
    },
    MINISTACK: {
        "test_a_name_that_none_can_have_is_refused": _TAKES_IT,
        "test_a_wait_longer_than_twenty_seconds_is_refused": "waits that long",
        "test_an_attempt_is_answered_alike": "gives others",
        "test_an_attribute_nobody_knows_is_refused": _TAKES_IT,
        "test_deleting_twice_does_no_harm": _REFUSES,
        "test_hiding_longer_than_twelve_hours_is_refused": _TAKES_IT,
    },
}
