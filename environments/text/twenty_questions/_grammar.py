"""The patterns of the grammar: sentences reduced to predicates, other ways to say a predicate, and where it divides.

All work on words in base form (see `_wording`): "a" stands for every article, "you" for people, "it" for the
object, "nt" for a contracted not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

IT = (
    r"(?:it|this|that|these|those|he|she|(?:a|this|your|that) (?:mystery |secret |hidden |unknown )?"
    r"(?:object|thing|item|answer|word|entity|subject|one|noun)(?: in question)?"
    r"(?: (?:that |which )?you (?:are|were|have)? ?(?:think|thinking|look|looking|describe|in mind)"
    r"(?: of| about| for| at)?)?)"
)
YOU = (
    r"(?:you|a person|person|one person|human|a human|a human being|a average person|a adult|adult|one"
    r"|(?:most|many|some) (?:you|human))"
)
AIDED = r"(?:do|did|will|would|can|could|might|may|should|must)(?: nt)?"
WILLING = r"(?:(?:be able to|be likely to|expect to|need to|get to|want to|like to|have to|go to|tend to) )?"
PLACED = r"(?:in|on|at|inside|within|around|near|into|inside of)"
KIND = (
    r"(?:kind|type|sort|form|piece|member|example|species|variety|breed|class|category|pair|set|bunch|item|article"
    r"|part of category)"
)
THING = r"(?:something|anything|a thing|a object|a item|thing|object|item)"
GROUP = r"(?:category|class|group|family)"


def _compiled(*rules: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


SENTENCES = _compiled(
    (rf"(?:is|are|was|were) (?:it |a )?(?:main |primary )?color(?: of {IT})? (.+)", r"be \1"),
    (rf"{AIDED} (?:it |a )?(?:name|word)(?: of {IT}| for {IT})? (.+)", r"\1"),
    (rf"(?:is|are|was|were|be)(?: nt)? {IT} (.+)", r"be \1"),
    (rf"{AIDED} {IT} (.+)", r"\1"),
    (rf"(?:have|had)(?: nt)? {IT} (?:got )?(.+)", r"have \1"),
    (rf"{AIDED} {YOU} {WILLING}(.+)", r"\1"),
    (rf"{AIDED} ((?:child|student) .+)", r"\1"),
    (rf"(?:is|are)(?: nt)? there (.+?) (?:on|in|inside|to) {IT}", r"have \1"),
    (rf"{IT} (?:is|are|was|be)(?: nt)? (.+)", r"be \1"),
    (rf"{IT} (?:can|could|do|would|will)(?: nt)? (.+)", r"\1"),
    (rf"{IT} (have .+)", r"\1"),
    (r"(?:what|how) about (.+)", r"be \1"),
    (r"are you think(?:ing)? (?:of|about) (.+)", r"be \1"),
    (r"(?:is|are|could|would)(?: nt)? (.+) a answer", r"be \1"),
    (r"(.+)", r"be a \1"),
    (r"(.+)", r"be \1"),
    (r"(.+)", r"\1"),
)
"""A question about the object, and the predicate it asks for. The last three are for answers in a word."""

REWRITES = _compiled(
    # what it is
    (rf"be (?:a )?{KIND} of (.+)", r"be \1"),
    (rf"be (?:a )?{KIND} of (.+)", r"be a \1"),
    (r"be (?:a )?(?:kind|sort|type) (.+)", r"be \1"),
    (
        r"be (?:consider|considered|called|(?:classified|classify|categorized|described|regarded|known) as) (.+)",
        r"be \1",
    ),
    (rf"be in (?:a )?{GROUP}(?: of)? (.+)", r"be \1"),
    (r"(?:call|consider) it (.+)", r"be \1"),
    (r"(?:classify|describe|categorize|use) it as (.+)", r"be \1"),
    (rf"(?:belong to|belong in|fall into|fall under|be in) (?:a )?{GROUP}(?: of)? (.+)", r"be \1"),
    (rf"(?:belong to|belong in|fall into|fall under|be in) (?:a )?(.+) {GROUP}", r"be \1"),
    (r"be (?:a )?(.+) or not", r"be \1"),
    (r"be (.+) (?:in|of) color", r"be \1"),
    (r"be (.+) colored", r"be \1"),
    (r"have (?:a )?(.+) color", r"be \1"),
    (r"be (?:a )?part of (.+)", r"be a part of \1"),
    (r"be (?:originally )?from (.+)", r"come from \1"),
    (r"be (?:able to|capable of|supposed to|going to) (.+)", r"\1"),
    (r"be (?:possible|safe|easy|ok|good) (?:for you )?to (.+)", r"\1"),
    (r"be [a-z]+ enough (?:for you )?(?:to|that you can) (.+)", r"\1"),
    # something that …
    (rf"be {THING}(?: that)? (?:most |many )?{YOU} (?:can |could |would |might |do |may )?(.+)", r"you \1"),
    (rf"be {THING} (?:that |which )?(?:is |are |can be |would be |be )(.+)", r"be \1"),
    (rf"be {THING} (?:that |which )?(?:can |could |do |would )?(.+)", r"\1"),
    (rf"be {THING} (?:to|for) (.+)", r"you \1"),
    (rf"be (?:{THING}|a toy)(?: that)? (child|student) (.+)", r"\1 \2 it"),
    (r"be (?:something|anything) (.+)", r"be \1"),
    (r"you (?:can|could|may|might|would|do) (.+)", r"you \1"),
    (r"you (.+)", r"\1"),
    (r"you (.+)", r"\1 it"),
    (r"you ([a-z]+) (.+)", r"\1 it \2"),
    # what it is for
    (r"be for (.+)", r"for \1"),
    (r"(?:help|allow|enable|let) (?:you )?(?:to )?(.+)", r"for \1"),
    (r"(?:be )?(?:use|need|make|mean|design|intend) (?:it )?(?:for|to) (.+)", r"for \1"),
    (r"have (?:a )?(?:use|purpose|function) (?:for|in|of) (.+)", r"for \1"),
    (r"serve (?:a purpose of |to |for )(.+)", r"for \1"),
    (r"for (.+)", r"\1 with it"),
    (r"for (.+) (with|on|in|from)", r"\1 \2 it"),
    # where it is
    (r"(.+) in or on (.+)", r"\1 in \2"),
    (rf"(?:find|see|keep|use|have|get|store|put|encounter|place|locate|spot) it {PLACED} (.+)", r"in \1"),
    (
        r"(?:find|see|keep|use|have|get|store|put|encounter|locate) it (outdoor|outside|indoor|inside|underwater)",
        r"in \1",
    ),
    (r"use it (?:in|on|by|when|while) (?:you )?(.+)", r"for \1"),
    (rf"(?:exist|belong|go|sit|stay|come|be|occur|reside|travel) {PLACED} (.+)", r"in \1"),
    (r"live (?:on|at|near|around|under) (.+)", r"live in \1"),
    (r"live in (.+)", r"be living and in \1"),
    (rf"grow {PLACED} (.+)", r"be a plant and in \1"),
    (rf"swim {PLACED} (.+)", r"swim and in \1"),
    (r"in (?:a )?(?:typical|common|average|normal|regular|most|your|many) (.+)", r"in \1"),
    (r"in (?:a )?(?:most |many )?(?:you|person|human) home", r"in home"),
    # what it has and is made of
    (r"(?:make|build|construct) it (?:of|from|out of|with) (.+)", r"of \1"),
    (r"consist of (.+)", r"of \1"),
    (r"(?:contain|include|feature|possess|come with) (.+)", r"have \1"),
    (r"have (?:several|many|multiple|lots of|lot of|a lot of|at least one) (.+)", r"have \1"),
    (r"(have .+) (?:in|on) (?:it|(?:a )?(?:center|middle|inside|front|side|top))", r"\1"),
    # what it has to do with
    (r"be (?:relate|related|connect|connected|associate|associated|linked) (?:to|with) (.+)", r"relate to \1"),
    (r"(?:involve|have (?:anything |something )?to do with) (.+)", r"relate to \1"),
    (r"relate to (.+)", r"for \1"),
    # what adds nothing
    (r"(.+) (?:by|with|for|to) (?:you|a person|human|person|most you)", r"\1"),
    (r"(.+) by (?:most )?you (.+)", r"\1 \2"),
    (r"(.+) to (?:work|function|operate|run)", r"\1"),
    (r"(.+) (?:with|in|using) your hand", r"\1"),
    (r"(.+) on (?:a )?(?:daily|regular) basis", r"\1 daily"),
    (r"(.+) (?:at all|at home|in size|in shape|in nature|in general|or something|in real life)", r"\1"),
)
"""A predicate, and another way to say it."""

THIS = re.compile(r"\b(?:this|your)(?: (?:mystery |secret |hidden )?(?:object|thing|item|one))\b|\bthis\b")
NEGATED = re.compile(r"(be |have |)(?:not|nt|non) (?:a |be )?(.+)")
JOINED = re.compile(r" (and|or|but) ")
RELATIVE = re.compile(r" (?:that|which|who) (?:you )?(?:can |could |would |do |may |might |usually |is |are )?")
POSTPOSED = re.compile(r" (?=(?:with|for|in|on|at|of|from|without|you) )")
ANYTHING = re.compile(r"be (?:a )?(?:object|thing|item|something|one|product|equipment|stuff|being)")

_PASSIVE = re.compile(r"be ([a-z]+)(?: (.+))?")
_KIND_OF = re.compile(rf"be (?:a )?{KIND} of (?:a )?")


def predicates(sentence: str) -> Iterator[str]:
    """What a sentence may say about the object, the likeliest reading first."""
    for pattern, replacement in SENTENCES:
        if found := pattern.fullmatch(sentence):
            yield found.expand(replacement)


def rewritten(phrase: str, verb_of: Callable[[str], str | None]) -> Iterator[str]:
    """Other ways to say a predicate; `verb_of` gives the verb of a past participle."""
    for pattern, replacement in REWRITES:
        if found := pattern.fullmatch(phrase):
            yield found.expand(replacement)
    if (passive := _PASSIVE.fullmatch(phrase)) and (verb := verb_of(passive[1])):
        yield f"{verb} it {passive[2] or ''}".strip()
        if passive[2]:
            yield f"{verb} {passive[2]} it"


def continued(left: str, right: str) -> Iterator[str]:
    """The second part of "have wing or leg" said in full: `have leg`."""
    words = left.split()
    for taken in range(min(3, len(words)) + 1):
        yield " ".join([*words[:taken], right])


def without_articles(phrase: str) -> str:
    """Only the article directly after `be` means something: an orange is not orange."""
    head, rest = ("be a", phrase[4:]) if phrase.startswith("be a ") else ("", phrase)
    return " ".join([head, *(word for word in rest.split() if word != "a")]).strip()


def without_kind(phrase: str) -> str:
    """Say "be a piece of paper" as `be a paper`."""
    return _KIND_OF.sub("be a ", phrase)
