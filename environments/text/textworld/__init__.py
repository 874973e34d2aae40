"""TextWorld's games: real interactive fiction, generated and compiled by Microsoft's `textworld` library.

    env        the environments
    _base      what they share
    _commands  which commands go to the game, and what of its answer is shown
    _play      a game being played, and the library's knowledge of it where that is asked for
    _state     what names the state of a game
    _games     generated and compiled games, made once and kept in the cache folder
    _making    how the library makes one

Côté et al., "TextWorld: A Learning Environment for Text-based Games" (2018), arXiv:1806.11532.
"""
