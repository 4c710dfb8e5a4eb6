import warnings

import numpy as np
import pytest
from PIL import Image, ImageFont

from refseg.masks import fonts
from refseg.masks.fonts import font_for
from refseg.masks.pictures import Line, captioned

NO_LETTER = "\U0010ffff"


def test_latin_text_is_drawn_with_the_font_of_pillow():
    assert font_for("“the cup on the left”…", 20).getname() == ImageFont.load_default(20).getname()


@pytest.mark.skipif(not list(fonts._found()), reason="no other font is on this machine")
def test_letters_that_pillows_font_lacks_are_drawn_with_one_that_has_them():
    text = "рыжий кот"
    assert any(_is_box(ImageFont.load_default(20), letter) for letter in text)
    assert not any(_is_box(font_for(text, 20), letter) for letter in text.replace(" ", ""))
    one, other = (np.asarray(captioned(Image.new("RGB", (320, 40)), [Line(text)])) for text in ("кот", "рот"))
    assert one.shape == other.shape and (one != other).any()


def test_letters_that_no_font_has_are_told_once(monkeypatch):
    monkeypatch.setattr(fonts, "_files", lambda: ())
    fonts._file_for.cache_clear()
    with pytest.warns(UserWarning, match="no font of this machine has the letters 'жкот', so pictures show boxes"):
        font_for("кот, жот", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert font_for("жокт", 24).getname() == ImageFont.load_default(20).getname()
    fonts._file_for.cache_clear()


def _is_box(font, letter):
    return bytes(font.getmask(letter)) == bytes(font.getmask(NO_LETTER))
