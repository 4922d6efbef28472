"""Names of videos and frames, which become folders and files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosplug.utils.errors import DataError
from vosplug.utils.names import check_names, listed_names, name_fault, path_fault, read_names

BAD = ("", ".", "..", "...", " ", ".. ", "a/b", "/a", "a/", "../../x", "a\\b", "..\\x", "C:x", "c:", "C:\\x", "a\nb",
       "a\0", "\x1b[2J", "a\x7f", "a\u2028b", "\udc80", None, 5, ["a"])
GOOD = ("bear", "bmx-trees", "car 1", "0a7f1e1a2b", "..a", "a..", ".a", "a.b", "12:30", "ab:c", "höhle", "猫",
        "-x", "~", "a*?")


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_part_of_a_path_is_no_name(name):
    assert repr(name) in name_fault(name) and "\n" not in name_fault(name)
    with pytest.raises(DataError, match=r"^list\.txt: .*one plain part of a path"):
        check_names(["a", name], "list.txt")


@pytest.mark.parametrize("name", GOOD)
def test_names_that_people_give_are_accepted(name):
    assert name_fault(name) is None
    check_names([name], "list.txt")


@given(st.text(max_size=8) | st.text("./\\:C \n", max_size=6))
def test_an_accepted_name_stays_in_its_folder(tmp_path_factory, name):
    if name_fault(name) is None:
        root = tmp_path_factory.getbasetemp()
        assert (root / name).resolve().parent == root.resolve() and (root / name).name == name


@pytest.mark.parametrize(("path", "good"), [
    ("a/00000.jpg", True), ("00000.jpg", True), ("train/a/0.jpg", True), ("../a/0.jpg", False),
    ("a/../../0.jpg", False), ("/etc/0.jpg", False), ("a//0.jpg", False), ("", False), ("./0.jpg", False),
    ("C:/0.jpg", False), (3, False)])
def test_paths_of_pictures(path, good):
    assert (path_fault(path) is None) == good
    assert good or repr(path) in path_fault(path)


def test_lists(tmp_path):
    path = tmp_path / "val.txt"
    path.write_bytes("\ufeffbear\n\n car 1 \r\n".encode())
    assert read_names(path) == listed_names(path) == ["bear", "car 1"]  # no byte order mark in the first name
    path.write_text("/JPEGImages/480p/bear/0.jpg /Annotations/480p/bear/0.png\n/JPEGImages/480p/bear/1.jpg x\n")
    assert read_names(path) == ["bear"]
    for line, name in (("..", ".."), ("../..", ".."), ("/x", ""), ("../x", "..")):
        path.write_text(f"{line}\n")
        assert listed_names(path) == [name]
        with pytest.raises(DataError, match=r"val\.txt: the name"):
            read_names(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        read_names(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_names(tmp_path / "none.txt")
