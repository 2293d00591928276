from dataclasses import fields

from pipeline.dispatch.status import Status


def test_nothing_has_happened_before_anything_is_said():
    status = Status()
    assert not any(getattr(status, field.name) for field in fields(status))
    assert status == Status(lost=(), warnings=())
