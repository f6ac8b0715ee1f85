"""CSV that every spreadsheet opens and none takes for formulas."""

from __future__ import annotations

import csv
import io

import pytest

from formats.sheet import MARK, cell, csv_lines


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "－1"]
)
def test_text_that_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "Ada", "a=b", "1-2", "é", "'quoted"])
def test_other_text_is_left_alone(value: str) -> None:
    assert cell(value) == value


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell() -> None:
    assert (cell(-3), cell(0.5), cell(None)) == ("-3", "0.5", "")


def test_commas_quotes_and_line_breaks_come_back_as_they_were() -> None:
    rows = [["a,b", 'say "no"', "two\nlines", "é\u202e"]]
    whole = b"".join(csv_lines(["one", "two", "three", "four"], rows))
    assert whole.startswith(MARK)
    read = list(csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline="")))
    assert read == [["one", "two", "three", "four"], *rows]


def test_half_a_character_does_not_end_the_file() -> None:
    assert b"half ?" in b"".join(csv_lines(["name"], [["half \ud83d"]]))
