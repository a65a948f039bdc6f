"""Digests of code: they change with the code they are of, and with no other."""

import pytest

from data_pipeline.system import provenance
from data_pipeline.system.provenance import digest_of_code


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name in ("a.py", "room/b.py", "room/deeper/c.py", "other/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        ("a.py", (True, False)),
        ("room/b.py", (True, True)),
        ("room/deeper/c.py", (True, True)),
        ("other/d.py", (True, False)),
    ],
)
def test_a_digest_is_of_the_package_or_of_a_room(package, module, changes):
    before = digest_of_code(), digest_of_code("room")
    (package / module).write_text("changed")
    after = digest_of_code(), digest_of_code("room")
    assert tuple(a != b for a, b in zip(before, after, strict=True)) == changes


def test_a_room_that_moved_away_is_told(package):
    with pytest.raises(ValueError, match="'gone' is no room"):
        digest_of_code("gone")


def test_the_package_holds_the_simulators():
    assert (provenance.PACKAGE / "simulators" / "wave.py").is_file()
    assert digest_of_code("simulators") != digest_of_code()
