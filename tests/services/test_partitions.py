from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from services.ids import new_id
from services.messaging.kafka import partition_of


def test_a_case_lies_where_every_other_client_of_kafka_would_put_it() -> None:
    for _ in range(200):
        key = str(new_id()).encode()
        assert partition_of(key, 24) == (murmur2(key) & 0x7FFFFFFF) % 24


@given(st.binary(max_size=80), st.integers(1, 200))
@example(b"", 24)
@example(b"organisation:330681-CE-0001", 1)
def test_any_key_is_put_as_kafka_does(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
