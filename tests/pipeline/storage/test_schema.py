from typing import get_type_hints

from pipeline.storage.schema import CIRCUMSTANCES, LATER, SCHEMA, Row


def test_a_row_has_the_columns_of_the_schema():
    assert list(get_type_hints(Row)) == SCHEMA.names
    assert set(CIRCUMSTANCES) < set(SCHEMA.names)
    assert set(LATER) < set(SCHEMA.names)
