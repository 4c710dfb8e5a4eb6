"""Changes that need no meaning: case, punctuation, filler, dropped and shuffled words."""

import re

from refseg.datasets.drawn_scenes.grammar import REQUESTS
from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.datasets.drawn_scenes.programs import All, The
from refseg.robustness.sentences.drawn_wording import WHOLE
from refseg.robustness.sentences.question import Change, Drawn, Question

_POLITE = ("please {}", "could you {}", "hey, {}", "i want you to {}")
_FILLERS = (
    "please segment {}",
    "can you find {}",
    "i am looking for {}",
    "um, {}",
    "well, {}",
    "{} please",
    "{} in this picture",
    "{}, thanks",
)
_ASKS = re.compile(
    r"(?:please|find|segment|show|select|pick|click|get|give|look|can|could|i|where|which|what|who)\b", re.IGNORECASE
)
_ARTICLE = re.compile(r"(?<![\w'-])(?:the|a|an) (?!few\b|little\b|bit\b|lot\b)(?=\w)")
_THAT_IS = re.compile(
    r"(?<=\w)(?<!\bone)(?<!\bones)(?<!\bthing)(?<!\bthings)(?<!\bperson)(?<!\bpeople)"
    r" (?:that|which|who) (?:is|are) (?=\w)"
)
_NO_SIDE = r"(?<!half)(?<!side)(?<!corner)(?<!left)(?<!right)(?<!top)(?<!bottom)"  # "half on the left", not "half left"
_SIDE_AT_END = re.compile(
    rf"{_NO_SIDE} (?:on|in|at|to) (?=(?:the )?(?:far |very |upper |lower |top |bottom )?(?:left|right|top|bottom)"
    r"(?: half| side| corner)?$)"
)
_TO_SIDE_OF = re.compile(rf"{_NO_SIDE} (?:to|on) (?:the )?(?=(?:left|right) of )")
_ENDS = {"full stop": "{}.", "exclamation mark": "{}!", "quotation marks": '"{}"', "dots": "{} ..."}


def case(question: Question, rng: SeededRandom) -> Change | None:
    """Writes the sentence in capitals, or begins it, or each of its words, with one."""
    text = question.text
    forms = {"capitals": text.upper(), "capital first": text[:1].upper() + text[1:], "capital words": _capitals(text)}
    if text.lower() != text:
        forms = {"small letters": text.lower(), "capitals": text.upper()}
    forms = {form: other for form, other in forms.items() if other != text and other.lower() == text.lower()}
    if not forms:
        return None
    form = rng.pick(list(forms))
    return Change(forms[form], form=form)


def _capitals(text: str) -> str:
    return re.sub(r"(?<![\w'])[a-z]", lambda found: found[0].upper(), text)


def punctuation(question: Question, rng: SeededRandom) -> Change | None:
    """Ends the sentence with a sign, quotes it, or takes the last sign away."""
    text = question.text.strip()
    if text and text[-1] in ".!?":
        bare = text.rstrip(".!? ")
        return Change(bare, form="removed") if re.search(r"\w", bare) else None
    if not text or not text[-1].isalnum():
        return None
    form = rng.pick(list(_ENDS))
    return Change(_ENDS[form].format(text), form=form)


def filler(question: Question, rng: SeededRandom) -> Change | None:
    """Adds words of a conversation around the sentence: "please segment ..."."""
    text = question.text.strip()
    request = next((one for one in REQUESTS if text.startswith(f"{one} ")), None)
    if request is not None:
        return Change(rng.pick((*_POLITE, "{} please", "{}, thanks")).format(text))
    if not text or _ASKS.match(text) or not text[-1].isalnum():
        return None
    return Change(rng.pick(_FILLERS).format(text))


def dropped_words(question: Question, rng: SeededRandom) -> Change | None:
    """Drops articles, or all small words that can be missed: "circle that is red" becomes "circle red"."""
    text = question.text
    articles = _ARTICLE.sub("", text)
    small = text
    for request in REQUESTS:
        small = small.removeprefix(f"{request} ")
    small = _SIDE_AT_END.sub(" ", _TO_SIDE_OF.sub(" ", _THAT_IS.sub(" ", small)))
    small = _ARTICLE.sub("", small)
    forms = {"articles": articles, "small words": small}
    forms = {form: other for form, other in forms.items() if other != text and len(other.split()) > 1}
    if articles == small:
        forms.pop("small words", None)
    if not forms:
        return None
    form = rng.pick(list(forms))
    return Change(forms[form], form=form)


def shuffled_words(question: Question, rng: SeededRandom) -> Change | None:
    """Puts all words into random order; certain only where no order of them could mean anything else."""
    words = question.text.split()
    others = [order for order in (rng.shuffled(words) for _ in range(4)) if order != words]
    if len(words) < 2 or not others:
        return None
    certain = question.drawn is not None and _is_bag(question.drawn)
    return Change(" ".join(others[0]), certain=certain, form="free order" if certain else "")


def _is_bag(drawn: Drawn) -> bool:
    """Whether a sentence is a noun with attributes before it alone, none of which is a noun, too."""
    phrase, opening = drawn.wording.phrases[0], drawn.wording.opening
    if not isinstance(drawn.program, The | All) or phrase.place != WHOLE or " of " in opening:
        return False
    return not phrase.after and not any(part.excludes or part.word == "orange" for part in phrase.before)
