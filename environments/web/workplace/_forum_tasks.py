"""Tasks in the forum."""

from __future__ import annotations

from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._database import ME, Row
from arena.environments.web.workplace._evaluators import (
    Added,
    Answer,
    At,
    Changes,
    Infeasible,
    Number,
    Removed,
    Shows,
    Updated,
)
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill, give_up, search
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Impossible, Make, World

__all__ = ["FORUM_TASKS", "find_thread", "some_thread"]

_THREADS = """
SELECT threads.*, boards.name AS board_name, people.name AS by,
    (SELECT COUNT(*) FROM replies WHERE thread = threads.id) AS replies,
    (SELECT COUNT(*) FROM votes WHERE thread = threads.id) AS votes
FROM threads JOIN boards ON boards.id = board JOIN people ON people.id = author
"""
_REPLIES = "SELECT replies.*, people.name AS by FROM replies JOIN people ON people.id = author"

REMARKS = (
    "Thank you, I will try that at the weekend.",
    "I had the same trouble; a thinner layer helped.",
    "Could somebody measure theirs, please?",
    "It worked on the second attempt. Slowly is the trick.",
    "I have a spare one to give away.",
)


def some_thread(world: World, where: str = "1", *values: object) -> Row:
    """A thread with the names of its board and author, its replies and votes."""
    return world.one(f"{_THREADS} WHERE {where}", *values)


def find_thread(thread: Row) -> list[Move]:
    """Search for a thread and open it."""
    return [*search("Search the forum", thread["title"]), *click(thread["title"])]


def _browse(world: World, thread: Row, order: str = "made DESC") -> list[Move]:
    """Go to a thread through its board, page by page."""
    ranked = world.database.rows(f"SELECT id FROM threads WHERE board = ? ORDER BY {order}", thread["board"])
    page = [row["id"] for row in ranked].index(thread["id"]) // 10
    return [*click(thread["board_name"]), *click(*["Next page"] * page), *click(thread["title"])]


def _goal(text: str, *evaluators: object, moves: list[Move]) -> Goal:
    return Goal(text, "Forum", evaluators, tuple(moves))  # type: ignore[arg-type]


def _count_replies(world: World) -> Goal:
    reply = world.one(f"{_REPLIES} WHERE thread IN (SELECT thread FROM replies GROUP BY thread HAVING COUNT(*) > 5)")
    thread = some_thread(world, "threads.id = ?", reply["thread"])
    number = world.database.value(
        "SELECT COUNT(*) FROM replies WHERE thread = ? AND author = ?", thread["id"], reply["author"]
    )
    text = world.say(
        "How many replies did {by} write in the thread “{title}”? Answer with a number.",
        "In the discussion “{title}”, count the replies of {by} and tell me how many there are.",
        "Tell me the number of replies by {by} to “{title}”.",
        by=reply["by"],
        title=thread["title"],
    )
    moves = [*_browse(world, thread), *click(*["Next page"] * ((thread["replies"] - 1) // 5)), *answer(str(number))]
    return _goal(text, Number(number), Changes(), moves=moves)


def _last_replier(world: World) -> Goal:
    thread = some_thread(world, "replies > 5")
    last = world.database.rows(f"{_REPLIES} WHERE thread = ? ORDER BY made DESC, replies.id DESC", thread["id"])[0]
    text = world.say(
        "Who wrote the last reply in the thread “{title}”? Answer with the full name.",
        "Give me the full name of the person who replied last to “{title}”, and nothing else.",
        "Look up who had the last word in “{title}” and send me just their full name.",
        title=thread["title"],
    )
    return _goal(
        text, Answer(last["by"]), Changes(), moves=[*find_thread(thread), *click("Next page"), *answer(last["by"])]
    )


def _most_votes(world: World) -> Goal:
    tops: dict[int, list[Row]] = {}
    for one in world.database.rows(f"{_THREADS} ORDER BY board"):
        best = tops.setdefault(one["board"], [])
        if not best or one["votes"] >= best[0]["votes"]:
            tops[one["board"]] = [one, *(other for other in best if other["votes"] == one["votes"])]
    alone = [best[0] for best in tops.values() if len(best) == 1]
    if not alone:
        raise Impossible("two threads have the most votes on every board")
    thread = world.draw.choice(alone)
    text = world.say(
        "Which thread on the board {board} has the most votes? Answer with its title.",
        "Tell me the title of the thread with the most votes in {board}, nothing else.",
        "On {board}, find the discussion that got the most votes and send me its exact title.",
        board=thread["board_name"],
    )
    moves = [*click(thread["board_name"]), *choose("Sort by", "Most votes"), *click("Sort"), *answer(thread["title"])]
    return _goal(text, Answer(thread["title"]), Changes(), moves=moves)


def _author_city(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    city = world.database.value("SELECT city FROM people WHERE id = ?", thread["author"])
    text = world.say(
        "In which city does the person live who started the thread “{title}”?",
        "Somebody started “{title}”. Which city does their profile name? Answer with the city.",
        "Find out where the author of “{title}” lives and tell me the city.",
        title=thread["title"],
    )
    return _goal(text, Answer(city), Changes(), moves=[*_browse(world, thread), *click(thread["by"]), *answer(city)])


def _count_threads(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    number = world.database.value(
        "SELECT COUNT(*) FROM threads WHERE author = ? AND board = ?", thread["author"], thread["board"]
    )
    text = world.say(
        "How many threads did {by} start on the board {board}? Answer with a number.",
        "Count the threads on {board} that were started by {by}.",
        "Tell me how many of the discussions in {board} are by {by}.",
        by=thread["by"],
        board=thread["board_name"],
    )
    moves = [*click(thread["board_name"], "Next page"), *answer(str(number))]
    return _goal(text, Number(number), Changes(), moves=moves)


def _open_thread(world: World) -> Goal:
    place = "(SELECT COUNT(*) FROM threads AS t WHERE t.board = threads.board AND t.made > threads.made)"
    thread = some_thread(world, f"{place} BETWEEN 9 AND 12")
    text = world.say(
        "Open the thread “{title}” and leave it open.",
        "Take me to the discussion “{title}” on the board {board}.",
        "I want to read “{title}” in the forum; bring up its page.",
        title=thread["title"],
        board=thread["board_name"],
    )
    evaluators = (At(f"{ORIGINS['Forum']}/threads/{thread['id']}"), Shows((thread["title"], thread["body"])), Changes())
    return _goal(text, *evaluators, moves=[*_browse(world, thread), *answer()])


def _sorted_board(world: World) -> Goal:
    board = world.one("SELECT * FROM boards")
    order, meaning = world.draw.choice([("replies", "the number of replies"), ("votes", "the number of votes")])
    text = world.say(
        "Show me the board {board} sorted by {meaning}.",
        "Open {board} and put the threads in order of {meaning}, the highest first.",
        "I'd like to see the threads of {board} ordered by {meaning}.",
        board=board["name"],
        meaning=meaning,
    )
    option = "Most replies" if order == "replies" else "Most votes"
    moves = [*click(board["name"]), *choose("Sort by", option), *click("Sort"), *answer()]
    address = f"{ORIGINS['Forum']}/boards/{board['id']}?sort={order}"
    return _goal(text, At(address), Changes(), moves=moves)


def _reply(world: World) -> Goal:
    thread, remark = some_thread(world), world.draw.choice(REMARKS)
    text = world.say(
        "Reply to the thread “{title}” with exactly this text: {remark}",
        "Post the following reply in “{title}”, word for word: {remark}",
        "In the discussion “{title}”, answer: {remark}",
        title=thread["title"],
        remark=remark,
    )
    moves = [*_browse(world, thread), *fill("Your reply", remark), *click("Post reply"), *answer()]
    return _goal(text, Changes(Added("replies", {"thread": thread["id"], "body": remark})), moves=moves)


def _new_thread(world: World) -> Goal:
    board, remark = world.one("SELECT * FROM boards"), world.draw.choice(REMARKS)
    thing = world.draw.choice(words()["boards"][board["id"] - 1]["things"])
    title = world.say("Looking for advice on {thing}", "A question about {thing}", "News about {thing}", thing=thing)
    text = world.say(
        "Start a thread on the board {board} with the title “{title}” and the text “{remark}”.",
        "Open a new discussion in {board}. Its title is “{title}”, its text “{remark}”.",
        "Please post “{remark}” as a new thread called “{title}” on {board}.",
        board=board["name"],
        title=title,
        remark=remark,
    )
    added = Added("threads", {"board": board["id"], "title": title, "body": remark})
    moves = [
        *click(board["name"], "New thread"),
        *fill("Title", title),
        *fill("Text", remark),
        *click("Post thread"),
        *answer(),
    ]
    return _goal(text, Changes(added), Shows((title, remark)), moves=moves)


def _vote(world: World) -> Goal:
    thread = some_thread(world, "author <> ?", ME)
    text = world.say(
        "Vote for the thread “{title}”.",
        "Give the discussion “{title}” by {by} your vote.",
        "I like “{title}” on the board {board}: vote for it.",
        title=thread["title"],
        by=thread["by"],
        board=thread["board_name"],
    )
    return _goal(
        text,
        Changes(Added("votes", {"thread": thread["id"]})),
        moves=[*_browse(world, thread), *click("Vote"), *answer()],
    )


def _bookmark_all(world: World) -> Goal:
    several = "(SELECT COUNT(*) FROM threads AS t WHERE t.board = threads.board AND t.author = threads.author)"
    first = some_thread(world, f"author <> ? AND {several} BETWEEN 2 AND 3", ME)
    threads = world.database.rows(
        f"{_THREADS} WHERE author = ? AND board = ? ORDER BY threads.made DESC", first["author"], first["board"]
    )
    text = world.say(
        "Bookmark every thread that {by} started on the board {board}, and no other.",
        "Put all discussions by {by} in {board} on my bookmarks.",
        "I want to come back to all threads of {by} on {board}: bookmark each of them.",
        by=first["by"],
        board=first["board_name"],
    )
    moves: list[Move] = []
    for thread in threads:
        moves += [*click("Boards"), *_browse(world, thread), *click("Bookmark")]
    added = [Added("bookmarks", {"thread": thread["id"]}) for thread in threads]
    return _goal(text, Changes(*added), moves=[*moves, *answer()])


def _my_reply(world: World) -> tuple[Row, Row, int]:
    """A thread with one reply of mine, the reply, and which one of the thread's it is."""
    reply = world.one(
        f"{_REPLIES} WHERE author = ? AND (SELECT COUNT(*) FROM replies AS r WHERE r.thread = replies.thread "
        "AND r.author = replies.author) = 1",
        ME,
    )
    place = world.database.value(
        "SELECT COUNT(*) FROM replies WHERE thread = ? AND made <= ?", reply["thread"], reply["made"]
    )
    return some_thread(world, "threads.id = ?", reply["thread"]), reply, place


def _edit_reply(world: World) -> Goal:
    (thread, reply, place), remark = _my_reply(world), world.draw.choice(REMARKS)
    text = world.say(
        "Change my reply in the thread “{title}” to: {remark}",
        "I wrote a reply to “{title}”. Replace its text by “{remark}”",
        "Edit what I said in “{title}” so that it reads: {remark}",
        title=thread["title"],
        remark=remark,
    )
    moves = [
        *find_thread(thread),
        *click(*["Next page"] * ((place - 1) // 5), f"Edit reply {place}"),
        *fill("Text", remark),
        *click("Save reply"),
        *answer(),
    ]
    return _goal(text, Changes(Updated("replies", reply["id"], {"body": remark})), moves=moves)


def _delete_reply(world: World) -> Goal:
    thread, reply, place = _my_reply(world)
    text = world.say(
        "Delete my reply in the thread “{title}”.",
        "Take back what I wrote in “{title}”: remove that reply.",
        "My reply to “{title}” should disappear.",
        title=thread["title"],
    )
    moves = [
        *find_thread(thread),
        *click(*["Next page"] * ((place - 1) // 5), f"Delete reply {place}"),
        *answer(),
    ]
    return _goal(text, Changes(Removed("replies", reply["id"])), moves=moves)


def _move_house(world: World) -> Goal:
    cities = [city for city in words()["cities"] if city != world.me["city"]]
    bios = [bio for bio in words()["bios"] if bio != world.me["bio"]]
    city, bio = world.draw.choice(cities), world.draw.choice(bios)
    text = world.say(
        "I have moved: set the city in my forum profile to {city}, and the text about me to “{bio}”",
        "Update my profile in the forum. City: {city}. About me: {bio}",
        "My profile should say that I live in {city}, and about me: “{bio}”",
        city=city,
        bio=bio,
    )
    moves = [*click("My profile"), *fill("City", city), *fill("About me", bio), *click("Save profile"), *answer()]
    return _goal(text, Changes(Updated("people", ME, {"city": city, "bio": bio})), moves=moves)


def _lock(world: World) -> Goal:
    thread = some_thread(world)
    text = world.say(
        "Lock the thread “{title}” so that nobody can reply any more.",
        "Close “{title}” for further replies.",
        "Pin the discussion “{title}” to the top of its board.",
        title=thread["title"],
    )
    moves = [*find_thread(thread), *give_up("Threads have no such function.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


def _missing_thread(world: World) -> Goal:
    titles = {row["title"] for row in world.database.rows("SELECT title FROM threads")}
    board = world.draw.choice(words()["boards"])
    possible = [title.format(thing=thing) for title in board["titles"] for thing in board["things"]]
    title = world.draw.choice([one for one in possible if one not in titles])
    text = world.say(
        "Vote for the thread “{title}”.",
        "Bookmark the discussion “{title}” on the board {board}.",
        "Who started the thread “{title}”?",
        title=title,
        board=board["name"],
    )
    moves = [*search("Search the forum", title), *give_up("There is no such thread.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


def _foreign_reply(world: World) -> Goal:
    reply = world.one(f"{_REPLIES} WHERE author <> ?", ME)
    thread = some_thread(world, "threads.id = ?", reply["thread"])
    text = world.say(
        "Delete the reply “{body}” by {by} in the thread “{title}”.",
        "In “{title}”, {by} wrote “{body}” Change that to “I was wrong.”",
        "Remove what {by} said in “{title}”: “{body}”",
        body=reply["body"],
        by=reply["by"],
        title=thread["title"],
    )
    moves = [*find_thread(thread), *give_up("Only replies of one's own can be changed.")]
    return _goal(text, Infeasible(), Changes(), moves=moves)


FORUM_TASKS: dict[str, Make] = {
    "forum-count-replies": _count_replies,
    "forum-last-replier": _last_replier,
    "forum-most-votes": _most_votes,
    "forum-author-city": _author_city,
    "forum-count-threads": _count_threads,
    "forum-open-thread": _open_thread,
    "forum-sorted-board": _sorted_board,
    "forum-reply": _reply,
    "forum-new-thread": _new_thread,
    "forum-vote": _vote,
    "forum-bookmark-all": _bookmark_all,
    "forum-edit-reply": _edit_reply,
    "forum-delete-reply": _delete_reply,
    "forum-edit-profile": _move_house,
    "forum-lock-infeasible": _lock,
    "forum-missing-infeasible": _missing_thread,
    "forum-foreign-reply-infeasible": _foreign_reply,
}
