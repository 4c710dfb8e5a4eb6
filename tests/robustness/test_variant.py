"""Variants: their detail holds form and new words."""

import pytest

from refseg.robustness.variant import Variant


@pytest.mark.parametrize(
    ("detail", "form", "new"),
    [("", "", False), ("new words", "", True), ("clause", "clause", False), ("relation, new words", "relation", True)],
)
def test_detail_holds_form_and_new_words(detail, form, new):
    one = Variant(0, "synonyms", "the hoop", "stay", None, True, detail)
    assert (one.form, one.has_new_words) == (form, new)
