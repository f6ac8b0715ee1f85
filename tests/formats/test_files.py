"""File names: safe everywhere, told apart everywhere, and the same each time."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.files import NAME_BYTES_MAX, PATH_BYTES_MAX, Placement, numbered, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.docx", "report.docx"),
        (".gitignore", ".gitignore"),
        ("naïve 漢字 🙂.txt", "naïve 漢字 🙂.txt"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        (" . ", "unnamed"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\Windows\\x", "C__Windows_x"),
        ("trailing. . ", "trailing"),
        ("con", "_con"),
        ("CON.txt", "_CON.txt"),
        ("Nul .tar.gz", "_Nul .tar.gz"),
        ("COM1", "_COM1"),
        ("lpt³.log", "_lpt³.log"),
        ("CONIN$", "_CONIN$"),
        ("console.log", "console.log"),
        ("com10", "com10"),
        ("line\nbreak\x00\x7f\x9f", "line_break___"),
        ("invoice\u202egnp.exe", "invoice_gnp.exe"),
        ("zero\u200bwidth\ufeff", "zero_width_"),
        ("half \ud800 pair", "half _ pair"),
    ],
)
def test_names_become_safe_and_stay_readable(name: str, safe: str):
    assert safe_name(name) == safe


def test_long_names_keep_their_extension_and_whole_characters():
    assert safe_name("x" * 300 + ".docx") == "x" * 195 + ".docx"
    assert safe_name("漢" * 100 + ".txt") == "漢" * 65 + ".txt"
    assert safe_name("x" * 10 + "." + "y" * 300) == ("x" * 10 + "." + "y" * 300)[:200]
    assert safe_name("s" * 300, "m", ".eml") == "s" * 196 + ".eml"
    assert safe_name("s" * 195 + ". . .", "m", ".eml") == "s" * 195 + ".eml"


@given(st.text(max_size=400), st.sampled_from(["", ".eml"]))
def test_every_name_is_safe_and_being_safe_changes_nothing(name: str, extension: str):
    safe = safe_name(name, extension=extension)
    assert safe == safe.strip(" ").rstrip(".")
    assert 0 < len(safe.encode()) <= NAME_BYTES_MAX
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe not in (".", "..")
    assert safe.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert not any(
        unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "RLI") for c in safe
    )
    assert safe_name(safe) == safe


def test_numbers_go_before_the_extension():
    assert numbered("a.txt", 2) == "a (2).txt"
    assert numbered("a", 3) == "a (3)"
    assert numbered(".hidden", 2) == ".hidden (2)"


def test_names_that_some_system_takes_for_one_get_numbers():
    place = Placement()
    paths = [
        place.place(["A"], name)
        for name in ("x.txt", "X.TXT", "x (2).txt", "x.txt", "é", "e\u0301", "straße", "STRASSE")
    ]
    assert paths == [
        "A/x.txt",
        "A/X (2).TXT",
        "A/x (2) (2).txt",
        "A/x (3).txt",
        "A/é",
        "A/e\u0301 (2)",
        "A/straße",
        "A/STRASSE (2)",
    ]


def test_the_same_name_in_other_folders_stays():
    place = Placement()
    assert place.place(["a"], "x") == "a/x"
    assert place.place(["b"], "x") == "b/x"
    assert place.place([], "x") == "x"


def test_a_folder_and_a_file_of_one_name_are_told_apart_in_either_order():
    place = Placement(reserved=("manifest.json",))
    assert place.place([], "thing") == "thing"
    assert place.place(["Thing"], "x") == "Thing (2)/x"
    assert place.place(["Thing"], "y") == "Thing (2)/y"
    assert place.place(["other"], "x") == "other/x"
    assert place.place([], "OTHER") == "OTHER (2)"
    assert place.place([], "Manifest.json") == "Manifest (2).json"


def test_nothing_leads_out_of_the_archive():
    path = Placement().place(["..", "/abs", "C:\\", "a/../.."], safe_name("../x"))
    assert path == "folder/_abs/C__/a_.._/.._x"
    assert ".." not in path.split("/")


def test_folders_deeper_than_any_disk_takes_are_folded_into_one():
    place = Placement()
    deep = [f"{number:03d}" + "x" * 100 for number in range(60)]
    one, two = place.place(deep, "a"), place.place(deep, "b")
    assert len(one.encode()) < PATH_BYTES_MAX
    assert one.startswith("deep-")
    assert one[:-1] == two[:-1]


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from("aAbé"), max_size=2), st.sampled_from("aAbB")),
        max_size=25,
    )
)
def test_no_two_files_share_a_path_and_no_file_is_a_folder(files):
    place = Placement()
    paths = [place.place(folders, name) for folders, name in files]
    folded = [path.casefold() for path in paths]
    assert len(set(folded)) == len(folded)
    folders = {path.rpartition("/")[0] for path in folded} - {""}
    assert not folders & set(folded)
