"""From what a player types to plain phrases: one sentence, base forms, no chatter.

`Wording.phrases("Okay! Q3: Doesn't it usually have four legs?")` gives `does nt it have four leg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

LONGEST = 300
MOST_WORDS = 30

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_SENTENCE_END = re.compile(r"(?<=[?!])|\n|\.(?=\s|$)")
_CONTRACTIONS = (
    (re.compile(r"\bcan(?:'|no)t\b|\bcant\b"), "can nt"),
    (re.compile(r"\bwon't\b"), "will nt"),
    (re.compile(r"\b(is|are|was|does|do|did|would|could|has|have|should)n'?t\b"), r"\1 nt"),
    (re.compile(r"\b(it|that|what|they|there|he|she|this)'s\b"), r"\1 is"),
    (re.compile(r"'(re|m)\b"), " are"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'s\b|s'(?=\s)"), ""),
)
_CHATTER = re.compile(
    r"(?:ok|okay|so|well|hmm|um|then|now|and|but|alright|great|thanks|thank you|got it|no|yes|next|first|"
    r"(?:next |my |first |final |last )*(?:question|guess|answer)(?: number)?(?: \d+)?(?: is| would be)?|q ?\d*|\d+|"
    r"let me (?:guess|ask|see|think)|"
    r"(?:i|you) (?:think|believe|guess|suspect|will guess|would guess|want to know|wonder|would like to know|"
    r"am going to guess|are going to guess|am guessing|would say|say|know)(?: that| if| whether)?|"
    r"(?:do|would|can|could) you (?:think|say|tell me|agree|confirm)(?: that| if| whether)?|"
    r"(?:can|could|may) i (?:ask|guess|know)(?: if| whether)?|tell me (?:if|whether)|"
    r"is it (?:true|correct|possible|fair to say|safe to say|the case|accurate to say) that|final) "
)
_ASKING = re.compile(r"\b(?:is|are|does|do|can|could|would|will|has|have)\b")


class Wording:
    """Knows the words of the game, and so the base form of a word.

    Args:
        known: every word that means something, in base form.
        words: the tables `forms`, `participles` and `lists` of words.toml.
    """

    def __init__(self, known: Iterable[str], words: Mapping[str, Mapping[str, str]]) -> None:
        self._forms, self._participles = words["forms"], words["participles"]
        self._ignored, self._unstemmed = (frozenset(words["lists"][key].split()) for key in ("ignored", "unstemmed"))
        self._known = {*known, *self._forms.values()}
        self._meaningful = self._known | set(words["lists"]["function"].split())

    def sentence(self, text: str) -> str | None:
        """The one question in a text, as words in base form; None where there is none, or more than one."""
        if len(text) > LONGEST:
            return None
        sentences = [part for part in _SENTENCE_END.split(text.lower().replace("’", "'")) if _TOKEN.search(part)]
        asked = [part for part in sentences if part.rstrip().endswith("?")]
        if len(asked) > 1 or (not asked and len(sentences) != 1):
            return None
        tail = (asked or sentences)[0].rstrip(" :").rpartition(":")[2]
        tail = _listed(tail)
        for pattern, replacement in _CONTRACTIONS:
            tail = pattern.sub(replacement, tail)
        words = " ".join(word for word in _TOKEN.findall(tail) if word not in self._ignored)
        while found := _CHATTER.match(words):
            words = words[found.end() :]
        return self.plain(words)

    def plain(self, words: str) -> str | None:
        """Words in base form; None for too many."""
        tokens = words.split()
        if len(tokens) > MOST_WORDS:
            return None
        return " ".join(self.base(token) for token in tokens)

    def base(self, word: str) -> str:
        """The base form of one word; participles stay as they are (see `verb`)."""
        if word in self._forms:
            return self._forms[word]
        stems: list[str] = []
        if word in self._unstemmed:
            return word
        if word.endswith("ing"):
            stems = _stems(word[:-3])
        elif word.endswith("s"):
            stems = [
                word[:-1],
                word[:-2] if word.endswith("es") else "",
                word[:-3] + "y" if word.endswith("ies") else "",
            ]
        return next((stem for stem in stems if stem in self._known), word)

    def verb(self, word: str) -> str | None:
        """The verb that a past participle belongs to."""
        if word in self._participles:
            return self._participles[word]
        if not word.endswith("ed") or word in self._unstemmed:
            return None
        stems = [*_stems(word[:-2]), word[:-3] + "y" if word.endswith("ied") else ""]
        return next((stem for stem in stems if stem in self._known), None)

    def unknown(self, sentence: str) -> str | None:
        """The first word that means nothing here."""
        for word in sentence.split():
            if word not in self._meaningful and self.verb(word) is None and not word[0].isdigit():
                return word
        return None


def _stems(word: str) -> list[str]:
    """What a word may have been before -ing or -ed: cook, mak(e), cut(t)."""
    return [word, word + "e", word[:-1] if word[-2:-1] == word[-1:] else ""]


def _listed(text: str) -> str:
    """A list written out: "metal, plastic, or wood" as "metal or plastic or wood"."""
    verb = _ASKING.search(text)
    joins = re.findall(r"\b(or|and)\b", text)
    if verb is None or not joins or "," not in text:
        return text
    head, body = text[: verb.end()], text[verb.end() :]
    return head + re.sub(r",(?:\s*(?:or|and)\b)?", f" {joins[-1]} ", body)
