"""Wordle and WordleRedraw."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import arena
from arena.core.errors import EnvironmentFailure, UnknownName, UsageError
from arena.environments.text._word_solver import solver
from arena.environments.text._words import (
    choose_words,
    code,
    mark,
    mark_loosely,
    mark_table,
    read_word,
    shipped_words,
)

WORDLE, REDRAW = "arena/Wordle-v0", "arena/WordleRedraw-v0"
FEW = ["crane", "light", "bumps", "foggy", "speed", "abide", "erase", "steal", "crepe", "eerie"]


def hiding(word, env_id=WORDLE, **params):
    """An environment whose hidden word is `word`."""
    env = arena.make(env_id, **params).unwrapped
    env.reset(seed=1)
    env.state.hidden = word
    return env


def test_shipped_words_are_five_plain_letters_sorted_and_many():
    words = shipped_words()
    assert len(words) >= 1500
    assert list(words) == sorted(set(words))
    assert all(len(word) == 5 and word.isascii() and word.isalpha() and word.islower() for word in words)


@pytest.mark.parametrize(
    ("guess", "hidden", "marks"),
    [
        ("crane", "crane", "ggggg"),
        ("light", "bumps", "bbbbb"),
        ("speed", "abide", "bbyby"),  # one e in the word: the second of the guess is surplus
        ("speed", "erase", "ybyyb"),  # two e's in the word: both count
        ("speed", "steal", "gbgbb"),  # the e in its place uses up the only e
        ("speed", "crepe", "bygyb"),
        ("eerie", "crepe", "ybybg"),
        ("allay", "llama", "ygyyb"),
    ],
)
def test_repeated_letters_are_marked_as_in_the_printed_game(guess, hidden, marks):
    assert mark(guess, hidden) == marks


@pytest.mark.parametrize(
    ("guess", "hidden", "marks"),
    [("speed", "abide", "bbyyy"), ("speed", "steal", "gbgyb"), ("eerie", "crepe", "yyybg")],
)
def test_loose_marks_do_not_count_letters(guess, hidden, marks):
    assert mark_loosely(guess, hidden) == marks


@pytest.mark.parametrize(("marking", "reference"), [("standard", mark), ("loose", mark_loosely)])
def test_the_table_says_the_same_as_the_marking_function(marking, reference):
    words = shipped_words()[::7]
    table = mark_table(words, marking)
    for guess in words[::23]:
        assert table.row(guess).tolist() == [code(reference(guess, hidden)) for hidden in words]


@pytest.mark.parametrize("text", ["crane", "CRANE", "c r a n e", "C R A N E", "  crane\n", "\tc r a n e \n"])
def test_a_guess_is_read_in_any_of_its_forms(text):
    assert read_word(text) == "crane"


@pytest.mark.parametrize("text", ["", "cran", "the word crane", "c,r,a,n,e", "cr ane", "c r a n e s", "crane" * 10**5])
def test_what_is_no_single_word_is_not_read_as_one(text):
    assert read_word(text) == ""


def test_a_game_word_for_word():
    env = hiding("abide")
    observation, reward, terminated, truncated, info = env.step("speed")
    assert (observation, reward, terminated, truncated) == ("s p e e d\nb b y b y\nTries left: 5.", 0.0, False, False)
    assert info["valid"]
    assert info["executed"] == "speed"
    observation, reward, terminated, truncated, info = env.step(" A B I D E ")
    assert (observation, reward, terminated) == ("a b i d e\ng g g g g\nThat is the word.", 1.0, True)
    assert info["success"]
    assert info["score"] == 1.0


def test_an_unknown_word_is_answered_in_words_and_costs_no_try():
    env = hiding("abide")
    observation, reward, terminated, _, info = env.step("zzzzz")
    assert "'zzzzz' is not in the word list" in observation
    assert "No try was used. Tries left: 6." in observation
    assert (reward, terminated, info["valid"]) == (0.0, False, False)
    assert info["error"] in observation
    assert env.state.guesses == []


def test_the_last_wrong_try_is_a_failure_and_not_a_truncation():
    env = hiding("abide", tries=2)
    env.step("speed")
    observation, reward, terminated, truncated, info = env.step("crane")
    assert observation.endswith("Tries left: 0.")
    assert (reward, terminated, truncated, info["score"], info["answer"]) == (0.0, True, False, 0.0, "abide")


def test_the_state_key_forgets_the_order_of_guesses_but_not_their_number():
    keys = []
    for guesses in (["crane", "light"], ["light", "crane"], ["light", "crane", "crane"]):
        env = hiding("abide")
        keys += [[env.step(guess)[4]["state_key"] for guess in guesses][-1]]
    assert keys[0] == keys[1] != keys[2]


def test_a_small_list_is_named_in_the_rules_and_is_all_one_may_guess():
    env = arena.make(WORDLE, words=FEW).unwrapped
    env.reset(seed=1)
    assert "crane, light, bumps" in env.instructions
    assert list(env.legal_actions()) == FEW
    assert env.step("house")[4]["valid"] is False
    assert len(choose_words(50)) == len(set(choose_words(50))) == 50


@pytest.mark.parametrize(
    "words", [1, 10**6, True, ["crane"], ["crane", "crane"], ["CRANE", "light"], ["cranes", "light"], "crane"]
)
def test_words_that_cannot_be_played_with_are_refused(words):
    with pytest.raises(UsageError):
        arena.make(WORDLE, words=words)


def test_other_wrong_arguments_are_refused():
    with pytest.raises(UsageError, match="tries"):
        arena.make(WORDLE, tries=0)
    with pytest.raises(UnknownName, match="crane"):
        arena.make(WORDLE).reset(seed=1, options={"task": "crane"})
    with pytest.raises(EnvironmentFailure, match="eval"):
        arena.make(WORDLE, words=2).reset(seed=2**31)


def test_the_guess_tool_plays_too():
    env = hiding("abide")
    observation, *_, info = env.step('[{"tool": "guess", "arguments": {"word": "speed"}}]')
    assert observation.startswith("s p e e d\nb b y b y")
    assert info["executed"] == "speed"


@pytest.mark.parametrize(("marking", "reference"), [("standard", mark), ("loose", mark_loosely)])
def test_the_solver_finds_every_shipped_word_within_six_guesses_from_marks_alone(marking, reference):
    words = shipped_words()
    play = solver(words, marking)
    lengths = Counter()
    for hidden in words[::5]:
        guesses, marks = [], []
        while not guesses or guesses[-1] != hidden:
            guesses.append(play.guess(guesses, marks))
            marks.append(reference(guesses[-1], hidden))
        lengths[len(guesses)] += 1
    assert max(lengths) <= 6


@pytest.mark.parametrize("env_id", [WORDLE, REDRAW])
def test_the_oracle_wins_on_the_last_try_after_five_useless_guesses(env_id):
    env = hiding("crane", env_id)
    for guess in ("fuzzy", "fuzzy", "fuzzy", "fuzzy", "fuzzy"):
        env.step(guess)
    *_, terminated, _, info = env.step(env.oracle_action())
    assert terminated
    assert info["score"] == 1.0


def test_redraw_speaks_and_rewards_as_lmrl_gym():
    env = arena.make(REDRAW).unwrapped
    observation, _ = env.reset(seed=1)
    assert observation == "Wordle:\n"
    env.state.hidden = "abide"
    assert env.step("s p e e d\n")[:4] == ("b b y y y\n", -1.0, False, False)
    observation, reward, terminated, _, info = env.step("x x x x x\n")
    assert (observation, reward, terminated, info["valid"]) == (info["error"] + "\n", -1.0, False, False)
    assert env.state.tries == 4
    observation, reward, terminated, truncated, info = env.step(" ".join(env.state.hidden) + "\n")
    assert (observation, reward, terminated, truncated, info["score"]) == ("g g g g g\n", 0.0, True, False, 1.0)


def test_redraw_ends_after_six_tries_bad_ones_included():
    env = arena.make(REDRAW, bad_word_reward=-3.0).unwrapped
    env.reset(seed=1)
    results = [env.step("?") for _ in range(6)]
    assert [result[1] for result in results] == [-3.0] * 6
    assert [result[2] for result in results] == [False] * 5 + [True]
    assert results[-1][4]["score"] == 0.0


def test_redraw_draws_anew_and_only_words_that_agree_with_all_marks():
    env = arena.make(REDRAW).unwrapped
    changed = 0
    for seed in range(20):
        env.reset(seed=seed)
        before = env.state.hidden
        for guess in ("light", "bumps", "crane"):
            if env.step(guess)[2]:
                break
            state = env.state
            assert [mark_loosely(g, state.hidden) for g in state.guesses] == state.marks
        changed += env.state.hidden != before
    assert changed > 10


def test_redraw_chooses_evenly_among_the_words_in_question():
    env = arena.make(REDRAW, words=FEW).unwrapped
    drawn = Counter()
    for seed in range(600):
        env.reset(seed=seed)
        drawn[env.state.hidden] += 1
    counts = np.array([drawn[word] for word in FEW])
    assert ((counts - 60) ** 2 / 60).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
