"""Environments. Importing this package makes the built-in ones known and imports none of them."""

from arena.core.registry import register, register_suites

register_suites("arena.environments.swe")
register_suites("arena.environments.terminal")
register_suites("arena.environments.text")
register_suites("arena.environments.web")

register(
    "arena/Browser-v0",
    "arena.environments.web.browser:Browser",
    summary="Any page in a real browser, with a goal and a check; by default a small staff directory.",
    execution="async",
    max_turns=12,
    suite="browser",
    extra="web",
    packages=("playwright",),
)
register(
    "arena/GuessNumber-v0",
    "arena.environments.text.guess_number:GuessNumber",
    summary="Guess a number; each guess is answered by higher or lower.",
    max_turns=14,
    source="arena.environments.text.guess_number:tasks",
    suite="guess-number",
)
register(
    "arena/KeyDoor-v0",
    "arena.environments.text.keydoor:KeyDoor",
    summary="Fetch the right key and carry it to a locked door many rooms away; the only reward comes at the end.",
    max_turns=44,
    source="arena.environments.text.keydoor:tasks",
    suite="keydoor",
)
register(
    "arena/LightsOut-v0",
    "arena.environments.text.lights_out:LightsOut",
    summary="Turn all lights off; a press switches a light and its neighbours. Draws its board.",
    max_turns=18,
    source="arena.environments.text.lights_out:tasks",
    suite="lights-out",
)
register(
    "arena/Maze-v0",
    "arena.environments.text.maze:Maze",
    summary="Walk to a goal, told its position, one's own and the walls; LMRL-Gym's mazes and generated ones.",
    max_turns=72,
    source="arena.environments.text.maze:maze_tasks",
    suite="maze",
)
register(
    "arena/MazePartial-v0",
    "arena.environments.text.maze:MazePartial",
    summary="Walk to a goal in a maze, told only the walls next to one.",
    max_turns=72,
    source="arena.environments.text.maze:partial_tasks",
    suite="maze",
)
register(
    "arena/MiniWoB-v0",
    "arena.environments.web.miniwob.env:MiniWoB",
    summary="MiniWoB++: 130 small tasks on web pages, from one click to a booked flight.",
    execution="async",
    max_turns=10,
    source="arena.environments.web.miniwob.env:tasks",
    suite="miniwob",
    extra="web",
    packages=("miniwob", "playwright"),
)
register(
    "arena/NoughtsAndCrosses-v0",
    "arena.environments.text.noughts_and_crosses:NoughtsAndCrosses",
    summary="Noughts and crosses (tic-tac-toe) for two players, from positions that x can win.",
    max_turns=27,
    source="arena.environments.text.noughts_and_crosses:tasks",
    suite="noughts-and-crosses",
)
register(
    "arena/Shop-v0",
    "arena.environments.web.shop.text:Shop",
    summary="Buy what a customer asks for in a web shop of 1,200 products: WebShop's actions and reward, as text.",
    max_turns=15,
    source="arena.environments.web.shop.text:tasks",
    suite="shop",
)
register(
    "arena/ShopPages-v0",
    "arena.environments.web.shop.pages:ShopPages",
    summary="The same shop as pages in a browser, with the same goods, wishes and reward.",
    execution="async",
    extra="web",
    packages=("playwright",),
    max_turns=30,
    source="arena.environments.web.shop.pages:tasks",
    suite="shop-pages",
)
register(
    "arena/Swe-v0",
    "arena.environments.swe.env:Swe",
    summary="Repair a bug in a real Python package through a shell in a sandbox; graded by the package's own tests.",
    execution="async",
    max_turns=40,
    source="arena.environments.swe.env:tasks",
    suite="swe-small",
    extra="swe",
    secret="arena.environments.swe.env:secrets",
    volatile={
        r"\bin \d+\.\d+s\b( \(\d+:\d\d:\d\d\))?": "how long pytest took",
        r"(?:(?:\d+\.\d+s (?:call|setup|teardown)\b.*|\n?\(\d+ durations < .*)\n?)+": "which tests took longest",
        r"\b\d\d:\d\d(:\d\d)?(\.\d+)?\b": "times of day",
        r"\b\d{4}-\d\d-\d\d\b": "dates",
        r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+( +\d{4})?\b": "dates",
        r"\b(\d+ (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}|(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b)": "days",
        r"/tmp/(tmp\w+|tmp\.\w+|pytest-of-\w+/pytest-\d+)": "names of temporary files",
        r"\b0x[0-9a-f]{6,}\b": "addresses in memory",
        r"\[\d+\] \d+|\bpid[ =:]+\d+": "process numbers",
    },
    reset_seconds=10.0,
)
register(
    "arena/TWCoinCollector-v0",
    "arena.environments.text.textworld.env:CoinCollector",
    summary="TextWorld: find the coin at the end of a chain of rooms.",
    execution="process",
    max_turns=35,
    source="arena.environments.text.textworld.env:coin_collector_tasks",
    suite="textworld",
    extra="text",
    packages=("textworld",),
)
register(
    "arena/TWCooking-v0",
    "arena.environments.text.textworld.env:Cooking",
    summary="TextWorld: gather the ingredients of a recipe, prepare them as it says, and eat the meal.",
    execution="process",
    max_turns=50,
    source="arena.environments.text.textworld.env:cooking_tasks",
    suite="textworld",
    extra="text",
    packages=("textworld",),
)
register(
    "arena/TWCustom-v0",
    "arena.environments.text.textworld.env:Custom",
    summary="TextWorld: a generated house with a generated quest, of any size.",
    execution="process",
    max_turns=60,
    source="arena.environments.text.textworld.env:custom_tasks",
    suite="textworld",
    extra="text",
    packages=("textworld",),
)
register(
    "arena/TWSimple-v0",
    "arena.environments.text.textworld.env:Simple",
    summary="TextWorld: leave the bedroom, find a certain food and put it on the stove.",
    execution="process",
    max_turns=60,
    source="arena.environments.text.textworld.env:simple_tasks",
    suite="textworld",
    extra="text",
    packages=("textworld",),
)
register(
    "arena/TWTreasureHunter-v0",
    "arena.environments.text.textworld.env:TreasureHunter",
    summary="TextWorld: find the right thing in a maze; taking the wrong one loses.",
    execution="process",
    max_turns=40,
    source="arena.environments.text.textworld.env:treasure_hunter_tasks",
    suite="textworld",
    extra="text",
    packages=("textworld",),
)
register(
    "arena/Terminal-v0",
    "arena.environments.terminal.env:Terminal",
    summary="Work at a terminal in a sandbox: tasks of our own, and folders in Harbor's and terminal-bench's formats.",
    execution="async",
    max_turns=40,
    source="arena.environments.terminal.env:tasks",
    suite="terminal-small",
    extra="swe",
    volatile={
        r"\b\d\d:\d\d(:\d\d)?(\.\d+)?\b": "times of day",
        r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b": "days of the week",
        r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2}\b( +20\d\d\b)?": "dates in listings",
        r"\b\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) 20\d\d\b": "dates in mails",
        r"\b20\d\d-\d\d-\d\d\b": "dates",
        r"\b0x[0-9a-f]{6,}\b": "addresses in memory",
        r"/proc/\d+|\bpid \d+|\[\d+\] \d+": "process numbers",
        r"/tmp/tmp\.?\w+": "names of temporary files",
    },
    reset_seconds=10.0,
)
register(
    "arena/TwentyQuestions-v0",
    "arena.environments.text.twenty_questions:TwentyQuestions",
    summary="Find out by yes/no questions in plain words which everyday thing is meant.",
    max_turns=40,
    source="arena.environments.text.twenty_questions:tasks",
    suite="twenty-questions",
    secret="arena.environments.text.twenty_questions:secrets",
)
register(
    "arena/WebTasks-v0",
    "arena.environments.web.workplace.env:WebTasks",
    summary="61 kinds of tasks on the pages of a forum, a mail client and an issue tracker, judged as WebArena's.",
    execution="async",
    extra="web",
    packages=("playwright",),
    max_turns=30,
    source="arena.environments.web.workplace.env:tasks",
    suite="webtasks",
)
register(
    "arena/Wordle-v0",
    "arena.environments.text.wordle:Wordle",
    summary="Find a hidden five-letter word in six guesses; each is answered by marks for its letters.",
    max_turns=12,
    source="arena.environments.text.wordle:tasks",
    suite="wordle",
    secret="arena.environments.text.wordle:secret",
)
register(
    "arena/WordleRedraw-v0",
    "arena.environments.text.wordle:WordleRedraw",
    summary="LMRL-Gym's Wordle: the hidden word is drawn anew every turn among those that agree with all marks.",
    suite="wordle",
    secret="arena.environments.text.wordle:secret",
)
