"""A profile as it stands in its file."""

from __future__ import annotations

import json

import msgspec

from runtime.profile import result
from runtime.profile.result import ProfileReport, encode, schema
from tests.paths import ROOT
from tests.runtime.profile.profiles import a_profile


def test_a_profile_is_read_as_it_was_written() -> None:
    report = a_profile()
    assert msgspec.json.decode(encode(report), type=ProfileReport) == report


def test_the_schema_in_the_documentation_is_that_of_the_profile() -> None:
    path = ROOT / "docs" / "profile.schema.json"
    assert path.read_bytes() == schema(), (
        "write it anew: python -c 'from runtime.profile.result import schema; "
        'print(schema().decode(), end="")\' > docs/profile.schema.json'
    )


def owner(name: str) -> str | None:
    return getattr(getattr(result, name, None), "__module__", None)


def test_every_field_of_a_profile_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "profile.md").read_text()
    own = [name for name in json.loads(schema())["$defs"] if owner(name) == result.__name__]
    assert len(own) > 5
    for name in own:
        for field in getattr(result, name).__struct_fields__:
            assert f"`{field}`" in text, f"{name}.{field}"
