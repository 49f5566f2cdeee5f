"""What others wrote shows as it was written."""

import html

import pytest

from alnet_lib.core import text


def test_control_characters_and_marks_of_direction_are_seen():
    assert text.visible("a\x1b[31mb\u202ec\x00\ud800\u2028") == "a\ufffd[31mb\ufffdc\ufffd\ufffd\ufffd"
    assert text.visible("نمی\u200cخواهم é 細胞") == "نمی\u200cخواهم é 細胞"
    assert text.visible("a\n\tb") == "a b" and text.visible("a\n\nb\x07", lines=True) == "a\n\nb\ufffd"


def test_only_letters_digits_blanks_and_commas_stay_in_a_sentence():
    said = text.escaped("".join(map(chr, range(32, 127))))
    rest = [part for part in said.split("&#") if part]
    assert all(part.split(";")[0].isdecimal() for part in rest[1:])
    assert html.unescape(said) == "".join(map(chr, range(33, 127)))
    assert not set(html.unescape(text.escaped("<é>"))) - set("<é>") and "<" not in text.escaped("<é>")


@pytest.mark.parametrize("fact", ["{x}", "{0}", "{x.__class__}", "}", "{", "%s"])
def test_a_brace_in_a_fact_is_a_character(fact):
    said = text.filled("{x} and {n:.1f} of {m:,}", {"x": fact, "n": 2.25, "m": 1234})
    assert html.unescape(said) == f"{fact} and 2.2 of 1,234"


def test_what_is_no_number_is_escaped_whatever_its_type():
    assert "<" not in text.filled("{a} {b[0]} {c}", {"a": ["<i>"], "b": ("<b>",), "c": OSError("<c>")})
