from pelage.common.memo import Memo


def test_the_key_holds_everything(tmp_path):
    memo = Memo("edges", 1, {"low": 55}, tmp_path)
    keys = {
        memo.key("a"),
        memo.key("b"),
        memo.key("a", "b"),
        memo.key("ab"),
        Memo("edges", 2, {"low": 55}, tmp_path).key("a"),
        Memo("edges", 1, {"low": 56}, tmp_path).key("a"),
        Memo("masks", 1, {"low": 55}, tmp_path).key("a"),
    }
    assert len(keys) == 7
    assert memo.key("a") == Memo("edges", 1, {"low": 55}, tmp_path).key(b"a")


def test_what_was_put_is_got_and_counted(tmp_path):
    memo = Memo("edges", 1, {}, tmp_path)
    key = memo.key("photo")
    assert memo.get(key) is None
    memo.put(key, b"result")
    assert Memo("edges", 1, {}, tmp_path).get(key) == b"result"
    assert memo.get(key) == b"result"
    assert (memo.hits, memo.misses) == (1, 1)
