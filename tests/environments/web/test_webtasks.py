"""WebTasks without a browser: the applications answer, every task can be done, and near misses are worth nothing."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest

pytest.importorskip("playwright")

from paper import Paper
from rotation import rotating

from arena.core.seeds import split_of_instance
from arena.environments.web.workplace._evaluators import (
    Answer,
    At,
    Changes,
    Ending,
    Infeasible,
    Mentions,
    Number,
    Shows,
)
from arena.environments.web.workplace._moves import answer, give_up, next_action
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Impossible, World
from arena.environments.web.workplace.env import TASKS, drawn

ROUNDS = range(100)


def begun(name, number=0):
    """A task in the first applications that allow it."""
    for seed in range(number * 1000, number * 1000 + 100):
        try:
            return Paper(*drawn(name, seed))
        except Impossible:
            continue
    raise AssertionError(f"{name} is possible nowhere")


def played(paper, moves=None):
    """Make the oracle's moves, or those given, to the end; how many turns it took."""
    moves = list(paper.goal.moves if moves is None else moves)
    turns = 0
    while moves:
        action, number = next_action(moves, paper.reader.things)
        assert number, f"{moves[0]} cannot be made on {paper.url}"
        paper.act(action)
        del moves[:number]
        turns += 1
    return turns


def post(paper, url, **fields):
    """Send a form as a page would."""
    paper.open(url, "POST", urlencode(fields))


@pytest.fixture
def begin():
    opened = []

    def make(*arguments):
        opened.append(begun(*arguments))
        return opened[-1]

    yield make
    for paper in opened:
        paper.world.database.close()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_done_and_is_not_done_before(name, begin):
    """Moves through links and forms alone reach score 1, with turns to spare; doing nothing scores 0."""
    for number in rotating(ROUNDS, 100)[:3]:
        paper = begin(name, number)
        assert paper.score() == 0.0, (number, paper.goal.text)
        assert played(paper) <= 26
        assert paper.score() == 1.0, (number, paper.goal.text, paper.ending())


SIDE_EFFECTS = {
    "an extra reply": lambda paper: post(paper, f"{ORIGINS['Forum']}/threads/1/reply", body="By the way!"),
    "a starred letter": lambda paper: post(paper, f"{ORIGINS['Mail']}/letters/2/star"),
    "a contact with another name": lambda paper: post(
        paper, f"{ORIGINS['Mail']}/contacts/1", name="Nobody", email="n@post.test"
    ),
    "a letter": lambda paper: post(paper, f"{ORIGINS['Mail']}/compose", recipient="a@b.test", do="send"),
    "a watched issue": lambda paper: post(paper, f"{ORIGINS['Tracker']}/issues/{an_issue(paper)}/watch"),
    "a comment": lambda paper: post(paper, f"{ORIGINS['Tracker']}/issues/{an_issue(paper)}/comment", body="Hm."),
}


def an_issue(paper):
    row = paper.world.database.rows("SELECT code, number FROM issues JOIN projects ON projects.id = project")[-1]
    return f"{row['code']}-{row['number']}"


@pytest.mark.parametrize("name", rotating(TASKS, 3))
def test_side_effects_anywhere_make_a_task_worthless(name, begin):
    """An agent that also posts, sends, stars or renames what nobody asked for would count as successful."""
    effect = list(SIDE_EFFECTS)[list(TASKS).index(name) % len(SIDE_EFFECTS)]
    paper = begin(name)
    *moves, last = paper.goal.moves
    played(paper, moves)
    at = paper.url
    SIDE_EFFECTS[effect](paper)
    assert paper.status == 200, effect
    paper.open(at)
    played(paper, [last])
    assert paper.score() == 0.0, f"{effect} went unnoticed in: {paper.goal.text}"


@pytest.mark.parametrize("name", rotating(TASKS, 4))
def test_the_other_way_to_end_is_worth_nothing(name, begin):
    """Giving up where the task can be done would pay, or answering where it cannot."""
    paper = begin(name)
    *moves, last = paper.goal.moves
    played(paper, [*moves, *(give_up("I cannot.") if last.verb == "send_msg_to_user" else answer())])
    assert paper.score() == 0.0


WRITES = (
    *("forum-reply", "forum-new-thread", "forum-edit-reply", "forum-edit-profile", "mail-send", "mail-reply"),
    *("mail-automatic-reply", "mail-finish-draft", "tracker-new-issue", "tracker-comment", "joint-thread-to-issue"),
    *("joint-finish-and-tell", "joint-letter-to-issue", "joint-write-to-assignee", "joint-write-to-member"),
)


def with_texts(moves, change):
    """The moves with other words in the fields of forms; searches stay as they are."""
    return [
        replace(move, value=change(move.value))
        if move.verb == "fill" and " " in move.value and not move.name.startswith("Search")
        else move
        for move in moves
    ]


@pytest.mark.parametrize("name", rotating(WRITES, 3))
def test_texts_have_to_be_those_asked_for(name, begin):
    changes = {
        "other order": (lambda text: " ".join(reversed(text.split())), 0.0),
        "a word more": (lambda text: f"{text} Regards", 0.0),
        "capitals": (str.upper, 0.0),
        "spaces around": (lambda text: f"  {text}  \n", 1.0),
    }
    for wrong, (change, score) in changes.items():
        paper = begin(name)
        played(paper, with_texts(paper.goal.moves, change))
        assert paper.score() == score, (wrong, paper.goal.text)


QUESTIONS = {
    "forum-count-replies": Number,
    "forum-last-replier": Answer,
    "forum-most-votes": Answer,
    "forum-author-city": Answer,
    "forum-count-threads": Number,
    "mail-invoice-amount": Number,
    "mail-invoice-total": Number,
    "mail-booking-code": Answer,
    "mail-count-letters": Number,
    "mail-phone": Answer,
    "tracker-assignee": Answer,
    "tracker-count": Number,
    "tracker-first-due": Answer,
    "tracker-sum-hours": Number,
    "tracker-list-keys": Mentions,
    "joint-city-of-assignee": Answer,
}
NEARLY = {
    Answer: lambda right: [f"not {right}", right[:-1], " ".join(reversed(f"it is {right}".split())), f"{right} 2"],
    Number: lambda right: [f"{float(right) + 1:g}", f"{right}0{right}", f"-{right}1", f"{right} or {float(right) + 2}"],
    Mentions: lambda right: [right.rpartition(",")[0], f"{right}9", right.replace("-", " ")],
}


@pytest.mark.parametrize("name", rotating(QUESTIONS, 2))
def test_answers_that_are_nearly_right_are_wrong(name, begin):
    paper = begin(name)
    *moves, last = paper.goal.moves
    played(paper, moves)
    assert any(isinstance(evaluator, QUESTIONS[name]) for evaluator in paper.goal.evaluators)
    ending = paper.ending()
    for said in (*NEARLY[QUESTIONS[name]](last.value), "Done.", "", None):
        assert paper.goal.score(replace(ending, answer=said)) == 0.0, said
    for said in (f"  {last.value} ", f"{last.value}."):
        assert paper.goal.score(replace(ending, answer=said)) == 1.0, said


PLACES = ("forum-open-thread", "forum-sorted-board", "mail-open-letter", "tracker-show-filtered")


@pytest.mark.parametrize("name", PLACES)
def test_the_right_page_has_to_be_left_open(name, begin):
    """An agent that was there and went on, or stopped one page before, did not show it."""
    before = begin(name)
    *moves, arrives, done = before.goal.moves
    played(before, [*moves, done])
    assert before.score() == 0.0
    after = begin(name)
    played(after, after.goal.moves)
    assert after.score() == 1.0
    after.open(f"{ORIGINS[after.goal.start]}/")
    assert after.score() == 0.0, arrives


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("forum-reply", "twice"),
        ("forum-bookmark-all", "one is missing"),
        ("mail-bin-newsletters", "one is missing"),
        ("mail-label-bookings", "one is missing"),
        ("tracker-hand-over", "one is missing"),
        ("joint-finish-and-tell", "one is missing"),
        ("mail-send", "twice"),
        ("tracker-comment", "twice"),
        ("mail-add-contact", "twice"),
    ],
)
def test_quantities_have_to_be_right(name, wrong, begin):
    """Too many posts, or one of several letters left where it was, would count."""
    paper = begin(name)
    database = paper.world.database
    played(paper)
    assert paper.score() == 1.0
    changes = database.changes()
    ending = paper.ending()
    altered = [*changes, changes[-1]] if wrong == "twice" else changes[1:]
    if wrong != "twice" and len(changes) == 1:
        altered = []
    assert paper.goal.score(replace(ending, changes=altered)) == 0.0


def test_a_vote_for_another_thread_or_the_wrong_letter_is_nothing(begin):
    paper = begin("forum-vote")
    thread = paper.goal.evaluators[0].wanted[0].values["thread"]
    post(paper, f"{ORIGINS['Forum']}/threads/{thread % 50 + 1}/vote")
    assert paper.score() == 0.0
    post(paper, f"{ORIGINS['Forum']}/threads/{thread}/vote")
    assert paper.score() == 0.0, "the wrong vote is still there"
    post(paper, f"{ORIGINS['Forum']}/threads/{thread % 50 + 1}/vote")
    assert paper.score() == 1.0, "a mistake that was undone leaves nothing behind"


@pytest.mark.parametrize(
    ("evaluator", "right", "wrong"),
    [
        (
            Answer("Ada Costa"),
            ["ada costa", " Ada  Costa. ", "“Ada Costa”", "'Ada Costa'"],
            ["Costa Ada", "Ada", "Ada Costa!?"],
        ),
        (
            Answer("+44 20 7000 1234"),
            ["+44 20 7000 1234 "],
            ["+44 20 7000 1235", "44 20 7000 1234", "+44 1234 7000 20"],
        ),
        (
            Mentions(("HAR-1", "HAR-12"), ("HAR-2",)),
            ["har-12 and HAR-1", "HAR-1,HAR-12"],
            ["HAR-1", "HAR-1, HAR-12, HAR-2"],
        ),
        (
            Number(1284.5),
            ["1,284.50 EUR", "1284.5", "It is €1284.50."],
            ["1284.05", "1,284", "1284.5 or 1300", "12,84.5"],
        ),
        (
            Number(3),
            ["3", "three", "Three replies.", "3.0", "3, as I said: 3"],
            ["30", "13", "3 of 12", "-3", "3rd", "x3"],
        ),
        (Number(0), ["0", "zero"], ["none", "", "10"]),
    ],
)
def test_answers_are_compared_as_webarena_does(evaluator, right, wrong):
    for said in right:
        assert evaluator.holds(Ending(answer=said)), said
    for said in [*wrong, None]:
        assert not evaluator.holds(Ending(answer=said)), said


def test_addresses_and_pages_are_compared():
    at = At("https://tracker.test/projects/HAR?status=Open&assignee=3")
    same = [
        "?assignee=3&status=Open",
        "?status=Open&priority=&assignee=3&sort=number",
        "?status=Open&assignee=3&page=1",
    ]
    for query in same:
        assert at.holds(Ending(url=f"https://tracker.test/projects/HAR{query}")), query
    for query in (
        "",
        "?status=Open",
        "?status=Open&assignee=4",
        "?status=Open&assignee=3&label=bug",
        same[0] + "&page=2",
    ):
        assert not at.holds(Ending(url=f"https://tracker.test/projects/HAR{query}")), query
    assert not at.holds(Ending(url=f"https://forum.test/projects/HAR{same[0]}"))
    shows = Shows(("Booking code: X1",), ("Bin",))
    assert shows.holds(Ending(page="Your stay\n Booking   code: X1"))
    assert not shows.holds(Ending(page="code: Booking X1"))
    assert not shows.holds(Ending(page="Booking code: X1 Bin"))
    assert Infeasible().holds(Ending(infeasible=""))
    assert not Infeasible().holds(Ending(infeasible="no", answer="no"))
    assert Changes().holds(Ending())


def test_equal_seeds_give_equal_applications_and_others_differ():
    """Replay would show other letters; or every task would be about the same ones."""

    def told(seed):
        world = World(seed)
        tables = {
            name: world.database.rows(f"SELECT * FROM {name}") for name in ("people", "threads", "mails", "issues")
        }
        world.database.close()
        return tables

    assert told(3) == told(3)
    assert told(3)["mails"] != told(4)["mails"]


def test_instructions_are_paraphrased(begin):
    assert len({begin("forum-reply", number).goal.text.split("“")[0] for number in range(8)}) == 3


def test_instances_of_the_splits_are_apart():
    """The name of an instance decides its split, so training never sees one that is evaluated on."""
    from arena.environments.web.workplace.env import _digest

    splits = [split_of_instance(_digest("mail-phone", seed)) for seed in range(400)]
    assert 60 < splits.count("eval") < 140
