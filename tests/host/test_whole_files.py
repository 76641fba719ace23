"""Files that are there whole or not at all, whoever else writes them."""

import threading

import pytest

from r2i_jit import whole_files


def at_once(work, count=8):
    """Run a function of a number in threads, and return what they returned or raised."""
    results = {}

    def run(number):
        try:
            results[number] = work(number)
        except OSError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(count)]


def test_many_replace_a_file_and_none_fails(tmp_path):
    """As `status` and `launch` do with a plan, and the shards of a run with what the run is."""
    path = tmp_path / "jobs.json"

    def write(number):
        for _ in range(30):
            whole_files.replace(path, bytes([number]) * 5000, many=True)

    assert at_once(write) == [None] * 8
    content = path.read_bytes()
    assert len(content) == 5000 and len(set(content)) == 1 and list(tmp_path.iterdir()) == [path]


def test_of_many_that_create_a_file_one_succeeds(tmp_path, monkeypatch):
    for links in (True, False):
        path = tmp_path / f"run-{links}.json"
        if not links:
            monkeypatch.setattr(whole_files.os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links")))
        results = at_once(lambda number, path=path: whole_files.create(path, bytes([number]) * 5000), 8 if links else 1)
        assert results.count(None) == 1 and all(isinstance(one, FileExistsError) for one in results if one)
        with pytest.raises(FileExistsError):
            whole_files.create(path, b"another")
        assert path.read_bytes() == bytes([results.index(None)]) * 5000
    assert len(list(tmp_path.iterdir())) == 2


def test_what_fails_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        whole_files.replace(tmp_path / "folder", b"x", many=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
