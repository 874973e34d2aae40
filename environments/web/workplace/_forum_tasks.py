"""Tasks in the forum."""

from __future__ import annotations

from arena.environments.web.workplace._content import words
from arena.environments.web.workplace._database import ME, Row
from arena.environments.web.workplace._evaluators import (
    Added,
    At,
    Changes,
    Evaluator,
    Removed,
    Shows,
    Updated,
)
from arena.environments.web.workplace._finding import REPLIES, THREADS, browse_forum, find_thread, some_thread
from arena.environments.web.workplace._moves import Move, answer, choose, click, fill
from arena.environments.web.workplace._site import ORIGINS
from arena.environments.web.workplace._world import Goal, Make, World

__all__ = ["FORUM_TASKS"]

REMARKS = (
    "Thank you, I will try that at the weekend.",
    "I had the same trouble; a thinner layer helped.",
    "Could somebody measure theirs, please?",
    "It worked on the second attempt. Slowly is the trick.",
    "I have a spare one to give away.",
)


def _goal(text: str, *evaluators: Evaluator, moves: list[Move]) -> Goal:
    return Goal(text, "Forum", evaluators, tuple(moves))


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
    return _goal(text, *evaluators, moves=[*browse_forum(world, thread), *answer()])


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
    moves = [*browse_forum(world, thread), *fill("Your reply", remark), *click("Post reply"), *answer()]
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
        moves=[*browse_forum(world, thread), *click("Vote"), *answer()],
    )


def _bookmark_all(world: World) -> Goal:
    several = "(SELECT COUNT(*) FROM threads AS t WHERE t.board = threads.board AND t.author = threads.author)"
    first = some_thread(world, f"author <> ? AND {several} BETWEEN 2 AND 3", ME)
    threads = world.database.rows(
        f"{THREADS} WHERE author = ? AND board = ? ORDER BY threads.made DESC", first["author"], first["board"]
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
        moves += [*click("Boards"), *browse_forum(world, thread), *click("Bookmark")]
    added = [Added("bookmarks", {"thread": thread["id"]}) for thread in threads]
    return _goal(text, Changes(*added), moves=[*moves, *answer()])


def _my_reply(world: World) -> tuple[Row, Row, int]:
    """A thread with one reply of mine, the reply, and which one of the thread's it is."""
    reply = world.one(
        f"{REPLIES} WHERE author = ? AND (SELECT COUNT(*) FROM replies AS r WHERE r.thread = replies.thread "
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


FORUM_TASKS: dict[str, Make] = {
    "forum-open-thread": _open_thread,
    "forum-sorted-board": _sorted_board,
    "forum-reply": _reply,
    "forum-new-thread": _new_thread,
    "forum-vote": _vote,
    "forum-bookmark-all": _bookmark_all,
    "forum-edit-reply": _edit_reply,
    "forum-delete-reply": _delete_reply,
    "forum-edit-profile": _move_house,
}
