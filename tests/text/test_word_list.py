import pytest

from refseg.errors import InvalidInput, MissingFile
from refseg.text.word_list import SPECIAL, WordList, split_sentence

WORDS = WordList([*SPECIAL, "'", "hat", "man", "red", "s"], max_words=4)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("  The man's hat. ", ["the", "man", "'", "s", "hat"]),
        ("left, red", ["left", ", ", "red"]),
        ("left...", ["left", "..."]),
        ("T-shirt", ["t", "-", "shirt"]),
        ("", []),
    ],
)
def test_what_stands_between_words_is_a_word_where_it_is_visible(sentence, words):
    assert split_sentence(sentence) == words


def test_a_sentence_is_cut_and_unknown_words_have_one_id():
    tokens, mask = WORDS(["man's hat there", "red"])
    assert tokens.tolist() == [[6, 4, 8, 5], [7, 0, 0, 0]]
    assert mask.tolist() == [[True] * 4, [True] + [False] * 3]
    assert WORDS.ids("blue hat") == [3, 5]
    assert WORDS.unknown_words("blue, hat") == ["blue"]
    assert [remark.partition(": ")[2] for remark in WORDS.remarks("man's hat there")] == [
        "only its first 4 words are read"
    ]
    with pytest.raises(InvalidInput, match="empty"):
        WORDS.ids(" . ")


def test_words_of_expressions_in_alphabetical_order_and_often_enough():
    texts = ["red, red hat", "the hat"]
    assert WordList.of(texts).words == (*SPECIAL, "hat", "red", "the")
    assert WordList.of(texts, at_least=2).words == (*SPECIAL, "hat", "red")


def test_a_file_gives_the_list_again(tmp_path):
    WORDS.write(tmp_path / "words.txt")
    assert WordList.read(tmp_path / "words.txt").words == WORDS.words
    with pytest.raises(MissingFile):
        WordList.read(tmp_path / "nothing.txt")
    (tmp_path / "words.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="no text file"):
        WordList.read(tmp_path / "words.txt")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    words = WordList([*SPECIAL, "hat", "\u5e3d"])
    words.write(tmp_path / "words.txt")
    (tmp_path / "marked.txt").write_text((tmp_path / "words.txt").read_text("utf-8"), encoding="utf-8-sig")
    assert WordList.read(tmp_path / "marked.txt").words == words.words


def test_a_file_that_is_no_text_is_told_in_one_line(tmp_path):
    for content in (b"<pad>\n\xff\xfe", "<pad>".encode("utf-16")):
        (tmp_path / "words.txt").write_bytes(content)
        with pytest.raises(InvalidInput, match="words.txt is no text file of words .*save it as UTF-8") as caught:
            WordList.read(tmp_path / "words.txt")
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match="cannot be read"):
        WordList.read(tmp_path)
