"""The shared folder of compiled programs stays bounded, and loses what a kill has torn."""

import os
import time
import warnings
import zlib

from experiments.running import compiled


def entry(folder, name, content, age):
    path = folder / f"{name}-cache"
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_was_not_used_for_longest_goes(tmp_path):
    names = [entry(tmp_path, str(age), b"x" * 100, age).name for age in (10, 500, 20, 300)]
    (tmp_path / "folder").mkdir()
    compiled.bound(tmp_path, 250)
    assert {path.name for path in tmp_path.glob("*-cache")} == {names[0], names[2]}


def test_it_is_looked_at_once_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "MOST", 0)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    entry(tmp_path, "a", b"x", 10)
    compiled.keep(tmp_path)
    assert not list(tmp_path.glob("*-cache"))
    entry(tmp_path, "b", b"x", 10)
    compiled.keep(tmp_path)
    assert len(list(tmp_path.glob("*-cache"))) == 1
    os.utime(tmp_path / "last-looked", (1, 1))
    compiled.keep(tmp_path)
    assert not list(tmp_path.glob("*-cache"))


def test_torn_entries_go_and_whole_and_new_ones_stay(tmp_path):
    whole = zlib.compress(os.urandom(1000))
    stay = [entry(tmp_path, "whole", whole, 100), entry(tmp_path, "zstd", b"\x28\xb5\x2f\xfd..", 100)]
    stay.append(entry(tmp_path, "new", whole[:500], 0))  # it may be on its way
    for name, content in (("torn", whole[:500]), ("mixed", whole[:500] + whole[400:]), ("empty", b"")):
        entry(tmp_path, name, content, 100)
    compiled.mend(tmp_path)
    assert set(tmp_path.glob("*-cache")) == set(stay)


def test_jax_s_warning_of_a_torn_entry_is_answered_once_and_not_shown(tmp_path, monkeypatch):
    """What JAX says of one, made by tearing an entry that it wrote."""
    import jax

    registered = []
    monkeypatch.setattr(compiled.atexit, "register", lambda *words: registered.append(words))
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: shown.append(str(message)))
    compiled.keep(tmp_path)
    before = jax.config.jax_compilation_cache_dir
    from jax.experimental.compilation_cache import compilation_cache

    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        compilation_cache.reset_cache()
        work = lambda: jax.jit(lambda x: x * 3 + tmp_path.stat().st_ino % 2)(1.0)
        expected = work()
        (path,) = tmp_path.glob("*-cache")
        path.write_bytes(path.read_bytes()[:-20])
        jax.clear_caches()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert work() == expected
            warnings.warn("something else", stacklevel=1)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()
    assert registered == [(compiled.mend, tmp_path)] and shown == ["something else"]
