"""Readings: how an expression was read, and what each part of it made of each object."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refseg.counting import counted
from refseg.readers.execute import NAMES_NOTHING, Answer, Step, unknown_noun
from refseg.readers.objects import FoundObject, FoundObjects
from refseg.readers.program import Query
from refseg.readers.searching import name_to_search


@dataclass(frozen=True, eq=False)
class Reading:
    """The program of an expression, the objects that it was evaluated on, and what came out.

    Attributes:
        answer: the program and what each of its parts scored.
        found: all objects of the image.
        finder: name of what found them.
    """

    answer: Answer
    found: FoundObjects
    finder: str = ""

    def __repr__(self) -> str:
        return f"Reading({self.program})"

    def __str__(self) -> str:
        return str(self.program)

    @property
    def program(self) -> Query:
        """What the expression asks for."""
        return self.answer.query

    @property
    def unknown(self) -> str:
        """The noun that the finder has no name for, if that is why there is no answer; else ""."""
        if self.answer.outcome != "unknown noun":
            return ""
        return next((query.noun.written for query in self._nouns if not self._knows(query)), "it")

    @property
    def reason(self) -> str:
        """Why nothing was looked for, in words; "" if something was."""
        if self.answer.outcome == "no thing named":
            return NAMES_NOTHING
        return unknown_noun(self.unknown) if self.unknown else ""

    @property
    def not_understood(self) -> tuple[str, ...]:
        """The words that nothing was made of."""
        return tuple(word for query in self.program.walk() for word in query.not_understood)

    def warnings(self, answered: bool) -> tuple[str, ...]:
        """Returns what was not taken into account, one line each.

        Args:
            answered: whether there is a mask; otherwise the verdict gives the reason.
        """
        return tuple(one for one in self.answer.remarks if answered or one != self.reason)

    @cached_property
    def candidates(self) -> list[int]:
        """Indices of the objects that the program may mean by its noun or an anchor, the most probable first."""
        names = {name for query in self._nouns for name in self._names(query)}
        anything = len(names) == 0 or any(query.noun.anything for query in self._nouns)
        kept = [
            k
            for k, thing in enumerate(self.found.objects)
            if anything or not thing.classes or names.intersection(thing.classes) or k in self.answer.chosen
        ]
        return sorted(kept, key=lambda k: (k not in self.answer.chosen, -float(self.answer.probabilities[k])))

    def name_of(self, k: int) -> str:
        """Returns the class of object k and its probability, for people."""
        thing = self.found.objects[k]
        name = max(thing.classes, key=lambda one: thing.classes[one], default="object")
        return f"{name} {thing.score:.0%}"

    def lines(self, most: int = 12) -> Iterator[str]:
        """Yields the reading for people: the program, then a line a step with the scores of the candidates.

        Args:
            most: candidates that are shown.
        """
        for query in (self.program, *self.program.union):
            yield from (f"{name}: {text}" for name, text in query.parts() if name != "and")
        shown = self.candidates[:most]
        by = f" by {self.finder}" if self.finder else ""
        yield f"{counted(len(self.found.objects), 'object')} found{by}, {len(self.candidates)} of them candidates"
        if shown:
            yield self._row("", [f"[{k + 1}]" for k in range(len(shown))])
            yield self._row("object", [self.name_of(k) for k in shown])
            yield self._row("centre", [_centre(self.found.objects[k]) for k in shown])
        for step in self.answer.steps:
            values = step.scores[shown] if len(step.scores) else step.scores
            texts = [_score(step, value) for value in values.tolist()]
            about = f"{step.anchor} < " if step.anchor else ""
            yield self._row(f"{about}{step.part}: {step.text}", texts)
        if shown:
            yield self._row("referred to", [f"{self.answer.probabilities[k]:.0%}" for k in shown])
            chosen = [f"[{shown.index(k) + 1}]" for k in self.answer.chosen if k in shown]
            yield f"chosen: {', '.join(chosen) or 'none'}"
        yield from (f"not taken into account: {remark}" for remark in self.answer.remarks)

    def candidate_lines(self, most: int = 12) -> Iterator[str]:
        """Yields a line for each candidate with what each step scored; `most` of them."""
        for number, k in enumerate(self.candidates[:most], start=1):
            scores = [
                f"{step.anchor + ' < ' if step.anchor else ''}{step.part} {_score(step, float(step.scores[k]))}"
                for step in self.answer.steps
            ]
            yield f"{number}: {self.name_of(k)} | {', '.join(scores)} | {self.answer.probabilities[k]:.0%}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but steps, ready for JSON."""
        answer = self.answer
        return {
            "program": str(self.program),
            "outcome": answer.outcome,
            "unknown": self.unknown,
            "reason": self.reason,
            "finder": self.finder,
            "not_understood": list(self.not_understood),
            "objects": [
                {
                    "box": [round(float(side), 1) for side in self.found.objects[k].box_xyxy],
                    "classes": {name: round(float(p), 4) for name, p in self.found.objects[k].classes.items()},
                    "score": round(float(self.found.objects[k].score), 4),
                    "probability": round(float(answer.probabilities[k]), 4),
                    "chosen": k in answer.chosen,
                }
                for k in self.candidates
            ],
        }

    @property
    def _nouns(self) -> list[Any]:
        return [query for query in self.program.walk() if query.noun is not None]

    def _knows(self, query: Any) -> bool:
        names = self._names(query)
        return self.found.classes is None or query.noun.anything or bool(names & self.found.classes)

    def _names(self, query: Query) -> set[str]:
        """Returns the names of an object that the noun of a query may mean."""
        assert query.noun is not None
        return {name_to_search(query.noun)} if self.found.open_vocabulary else {*query.noun.classes, query.noun.written}

    @staticmethod
    def _row(name: str, cells: list[str]) -> str:
        return f"{name[:44]:<44} " + " ".join(f"{cell:>16}" for cell in cells)


def _score(step: Step, value: float) -> str:
    """A filter's score as a probability, a preference in log odds."""
    return f"{math.exp(value):.0%}" if step.filters else f"{value:+.1f}"


def _centre(thing: FoundObject) -> str:
    x0, y0, x1, y1 = thing.box_xyxy
    x, y = thing.centre_xy or ((x0 + x1) / 2, (y0 + y1) / 2)
    return f"{x:.0f}, {y:.0f}"
