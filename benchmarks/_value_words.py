"""What the page of the value benchmark says around its tables."""

from __future__ import annotations

from benchmarks._value_tasks import BETA

GOALS = (0.7, 0.8)
"""Success; how many turns it took to get there is what is compared."""

HEAD = """# What a critic is worth

Offline algorithms on recorded episodes of mixed quality, ArCHer beside algorithms without a replay buffer, critics that
classify beside critics that regress, and a critic that chooses among a model's answers. Figures are interquartile means
over seeds with 95 % bootstrap intervals over seeds (Agarwal et al. 2021, arXiv 2108.13264).
"""

NORMALISED = f"""`maze` and `maze-partial` are LMRL-Gym's own maze, the double T: episodes begin on any of its squares,
held-out ones on squares where no recorded one began. In `maze-new` every maze is drawn, and held-out ones were never
seen. `questions` is twenty questions about 24 things, with ten questions; held-out episodes are new ones about the same
things, as in LMRL-Gym, since who has never heard of a thing cannot name it. Scores are normalised as in LMRL-Gym
(Abdulhai et al. 2023, arXiv 2311.18232): 0 is the lowest return in the data, 50 the data's mean, 100 the oracle's mean
on the held-out tasks. `bc` imitates everything, `filtered_bc` the best 30 %; the others go on from the model that `bc`
made, `mc` and `ilql` by leading its sampling (beta {BETA}).

What `mc` and `ilql` are told, and that `maze` is LMRL-Gym's and no longer what `maze-new` is, was decided on trial runs
with seed 99, which is in no table, after a first run in which both came out barely above `bc`. What the trials showed:

- **Too few steps.** After the 160 optimiser steps of that first run ILQL's Q of the four moves differed by 0.05 on
  average where their exact worth differs by 0.70. It learns outward from the goal: after 1,000 steps on `maze` it told
  the best move from the next one up to ten squares from the goal (by 1.0 and more) and hardly beyond (by 0.1), so that
  it went astray where it began far off. It has 1,800 now.
- **The turn limit hides what MC should see.** An episode that is cut off ends with what it had earned, and nobody is
  shown which turn it is: the same square seems better the later it was met. MC's Q explained 0.30 of the variance of
  the returns; ILQL's, which asks what comes after a move and not how the episode ended, 0.99 of its targets'.
- **New mazes have to be understood, not remembered.** On `maze-new` 800 steps brought MC's Q to 0.18 of the exact
  differences; `filtered_bc`, which needs no numbers, only the better moves, came to a score of 70 there.
- **Many actions take long to learn.** On `questions` a clone of as many passes as elsewhere came to a score of 17, one
  of three times as many to 31; so `bc` and `filtered_bc` have three times as many there. What else is told there was
  found on `maze`; the number of things was the first that was tried.

What the grid shows:

- **ILQL is above `filtered_bc`, and that above `bc`, on `questions`**, in each of the five seeds, as LMRL-Gym found;
  MC, which it found above `filtered_bc` too, is level with it. On `maze` and `maze-partial` ILQL comes first of the
  three as well, by less than the intervals are wide.
- **MC does not keep its place**: on `maze` it is below `filtered_bc`, for the reason above (it knows the best move
  less often than the clone that it leads does, see below). In one of five seeds on `maze-partial` it said nothing at
  all in 45 of 100 turns, which costs as much as four moves: nobody ever said nothing in the data, so that only the
  conservative term tells Q what that is worth.
- **On `wordle` critics know by heart what they were shown.** 400 episodes are some 1,300 turns, each with a history of
  its own. Of the returns of the data the critics explain a third, of held-out ones next to nothing or less (see
  below), and `mc` and `ilql` play like the clone. `filtered_bc` asks no critic: it has to know whose play to copy, and
  no more.
- **On `maze-new` ILQL knows nothing**: in mazes that it has not seen it tells the best move no better than chance, and
  leads the clone astray. `filtered_bc` comes first there, offline ArCHer next.
- **Offline ArCHer, which asks its critic about recorded answers alone, is first or level with the first** on `maze`,
  `maze-partial` and `questions`, and behind `filtered_bc` where every history is new.
"""

EXACT = """In the squares that the clone came to in 50 held-out episodes, the four moves' Q beside their exact worth,
minus the moves that are left: how often the best of the four by Q is one that leads nearer to the goal, how often a
move drawn blindly would be, how much of the exact differences Q shows (slope 1: all of them), and how often a word that
is no move is held to be worth more than all moves. `bc` has no Q and is asked by its log-probabilities.
"""

KNOWN = """Of the variance of the discounted returns, how much each critic's Q of the actions taken explains: in the
recorded episodes that it learned from, and in the held-out ones that the clone played. Below 0 it is further off than
their mean would be. Beside it, what the mean over all turns of the same number explains there. `ilql` and
`offline_archer` ask what better play than the recorded would earn, and without a turn limit, so that they need not
explain what was earned: offline ArCHer's critic chooses well on `maze` (see best of n).
"""

ONLINE = """Each run goes on from the same clone of a few demonstrations; the maze here is drawn anew for each task, as
in the learning benchmark. Success on held-out tasks is compared after as many turns as the shortest of all runs had.
Beside the median of the turns to a success of 80 %, and of 70 % for where few get that far, stands how many seeds got
there; 0 where the clone was there. "Times ArCHer's" is how many times as many turns as ArCHer an algorithm took, by
medians, with 95 % of bootstraps; "never" where its median run did not get there in the turns it had, 0.00 where
ArCHer's did not. On `questions` every step plays all the things that the training split has, and success is that of the
episodes so sampled, before the step learns from them. The paper (Zhou et al. 2024) speaks of about 100 times.
"""

FOUND = """ArCHer is ahead of all four after as many turns on `keydoor` and `maze`, by less than the intervals are
wide, and far from 100 times as quick, at three to six times the CPU. On `questions` it stays where the clone was,
while PPO and GiGPO learn: at a learning rate at which its actor moves it unlearns (see `archer_told`). The critic is
not the whole reason: trained on recorded episodes, it chooses well there (see best of n).
"""

CALIBRATION = """ArCHer with both kinds of critic. The trained policy plays 100 held-out episodes, and the critic's Q
of each action that it took is compared with the discounted return that came, in ten equal parts by what the critic
says: how far apart they are on average, and by how much the critic promises more than comes.
"""

BEST = """The clone of all of the data (`bc`) proposes n actions, and offline ArCHer's critic chooses; n = 1 is the
bare policy. Success on held-out tasks:
"""

CHOSEN = """
Four candidates and a critic make the clone of everything as good as the best trained policy on `questions` and `maze`.
But for `wordle`, eight are worth less than four: the more there are, the oftener one is among them that the critic
overrates.
"""
