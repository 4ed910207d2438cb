import json
import os
import stat
import sys
from pathlib import Path

import pytest

from neocog import exercises
from neocog.exercises import course


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A progress file of this test, in a folder that is not there yet."""
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("NEOCOG_PROGRESS", str(path))
    monkeypatch.setattr(course, "_in_session", {})
    return path


def new_session(monkeypatch):
    monkeypatch.setattr(course, "_in_session", {})


def test_what_is_solved_is_remembered_from_session_to_session(file, monkeypatch):
    assert exercises.progress().solved == 0
    assert not exercises.check("1.2", 607)
    assert not file.exists()
    assert exercises.check("1.2", 608)
    assert exercises.check("1.1", (16, 8, 28, 28))
    assert exercises.check("1.2", 608)
    assert json.loads(file.read_text()) == {"solved": ["1.2", "1.1"]}
    new_session(monkeypatch)
    found = exercises.progress()
    assert course.solved() == ["1.2", "1.1"]
    chapter = next(c for c in found.chapters if c.number == 1)
    assert (chapter.solved, chapter.stars) == (2, 2)
    checked = [one for one in exercises.chapter(1).exercises if one.kind != "open"]
    assert (chapter.exercises, chapter.all_stars) == (len(checked), sum(one.stars for one in checked))
    assert found.next.name == "1.3"
    assert list(file.parent.iterdir()) == [file]  # no temporary file is left


def test_progress_is_shown_as_lines_and_as_a_table(file):
    exercises.check("1.2", 608)
    found = exercises.progress()
    (line,) = [line for line in repr(found).splitlines() if "what a convolution is" in line]
    assert line.split("■")[0].split() == ["1", "what", "a", "convolution", "is"]
    assert "1 of " in line
    assert f"1 of {found.exercises} solved. Next: 1.3 ** By hand" in repr(found)
    table = found._repr_markdown_()
    assert "| 1 | what a convolution is | 1 of " in table
    assert "Next: 1.3 ★★ By hand" in table


def test_the_next_one_follows_the_last_solved_one_and_then_what_was_left_out(file, monkeypatch):
    names = [one.name for one in exercises.list_exercises() if one.kind != "open"]
    file.parent.mkdir()
    file.write_text(json.dumps({"solved": names[3:]}))
    assert exercises.progress().next.name == names[0]
    file.write_text(json.dumps({"solved": names}))
    assert exercises.progress().next is None
    assert repr(exercises.progress()).endswith(f"{len(names)} of {len(names)} solved.")


def test_exercises_that_are_no_more_are_not_counted(file):
    file.parent.mkdir()
    file.write_text('{"solved": ["99.1", "1.2"]}')
    assert course.solved() == ["1.2"]
    assert exercises.check("1.1", (16, 8, 28, 28))
    assert json.loads(file.read_text())["solved"] == ["99.1", "1.2", "1.1"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"solved": 3}', '{"solved": [3]}', "\xff", '{"a": 1}'])
def test_a_file_of_something_else_is_left_as_it_is(file, content):
    file.parent.mkdir()
    file.write_text(content, encoding="latin-1")
    before = file.read_bytes()
    assert exercises.check("1.2", 608)
    assert course.solved() == ["1.2"]  # until the session ends
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEOCOG_PROGRESS", str(tmp_path / "file" / "progress.json"))
    monkeypatch.setattr(course, "_in_session", {})
    assert exercises.check("1.2", 608)
    assert course.solved() == ["1.2"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_read_only_folder(file, monkeypatch):
    file.parent.mkdir()
    file.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert exercises.check("1.2", 608)
    assert course.solved() == ["1.2"]
    new_session(monkeypatch)
    assert course.solved() == []
    file.parent.chmod(stat.S_IRWXU)


def test_off_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NEOCOG_PROGRESS", "off")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(course, "_in_session", {})
    assert exercises.check("1.2", 608)
    assert course.progress_file() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".local/share/neocog/progress.json"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/neocog/progress.json"),
        ("darwin", {}, "Library/Application Support/neocog/progress.json"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/neocog/progress.json"),
        ("win32", {}, "AppData/Local/neocog/progress.json"),
        ("linux", {"NEOCOG_PROGRESS": "~/mine.json"}, "mine.json"),
    ],
)
def test_where_progress_is_kept(platform, variables, expected, monkeypatch):
    for name in ("NEOCOG_PROGRESS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert course.progress_file() == Path.home() / expected


def test_every_chapter_says_what_it_is_about():
    assert all(chapter.title for chapter in exercises.progress().chapters)
