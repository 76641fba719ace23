"""Boards of bsuite's experiments: what one shows, and what it hides for an episode or for a whole run."""

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.bsuite.bandit import Bandit
from envs.bsuite.catch import Catch
from envs.bsuite.deep_sea import DeepSea
from envs.bsuite.discounting_chain import BONUS, DiscountingChain
from envs.bsuite.memory_chain import MemoryChain
from envs.bsuite.rewards import OtherRewards
from experiments.drawing import boards
from experiments.drawing.boards import ASKED, NOW, SEEN, Board, Cell

_BITS_IN_A_ROW = 10
_WIDE = 44, 36  # pixels of a cell with a number

# (game, its parameters, state, the action that led to it or None) -> what is seen, or None where a text says it; and
# what is hidden.
Pair = tuple[Board | None, tuple[Board, ...]]


def innermost(env: Any, params: Any) -> tuple[Any, Any]:
    """Return the game and parameters of an experiment with other rewards; any other as it is."""
    return (env.game, params.game) if isinstance(env, OtherRewards) else (env, params)


def _catch(env: Catch, params: Any, state: Any, action: Any) -> Pair:
    row, ball, paddle = min(int(state.time), env.rows - 1), int(state.ball), int(state.paddle)
    cells = [[Cell() for _ in range(env.columns)] for _ in range(env.rows)]
    cells[-1][paddle] = Cell("=", boards.BLUE)
    cells[row][ball] = Cell("o", boards.GREEN if (row, ball) == (env.rows - 1, paddle) else boards.SAND)
    return Board(SEEN, cells), ()


def _deep_sea(env: DeepSea, params: Any, state: Any, action: Any) -> Pair:
    diver = int(state.time), int(state.column)
    at = lambda row, column: NOW if (row, column) == diver else None
    sides = range(env.size)
    seen = [[Cell("o" if (r, c) == diver else "", boards.BLUE, at(r, c)) for c in sides] for r in sides]
    fill = lambda row, column: boards.GREEN if row == column else boards.WHITE
    rights = [[Cell(str(env.rights[r, c]), fill(r, c), at(r, c)) for c in sides] for r in sides]
    return Board(SEEN, seen), (Board("which action goes right (green: to the treasure)", rights),)


def _memory(env: MemoryChain, params: Any, state: Any, action: Any) -> Pair:
    asked = int(state.query)
    context = np.asarray(state.context).tolist()
    bits = [Cell(str(bit), boards.FAINT, ASKED if i == asked else None) for i, bit in enumerate(context)]
    rows = boards.in_rows(bits, min(len(bits), _BITS_IN_A_ROW))
    return None, (Board("what is to be remembered (orange: asked for)", rows),)


def _bandit(env: Bandit, params: Any, state: Any, action: Any) -> Pair:
    pulled = None if action is None else min(max(int(action), 0), env.num_actions - 1)
    arms = [Cell(f"{float(pay):.1f}", ring=NOW if i == pulled else None) for i, pay in enumerate(params.rewards)]
    return None, (Board("what each arm pays (blue: pulled)", [arms], [str(i) for i in range(len(arms))], shape=_WIDE),)


def _discounting(env: DiscountingChain, params: Any, state: Any, action: Any) -> Pair:
    pay = lambda arm: f"{BONUS if arm == int(params.bonus_arm) else 1.0:g}"
    arms = [Cell(pay(arm), ring=NOW if arm == int(state.arm) else None) for arm in range(len(env.delays))]
    return None, (Board("what comes after how many steps", [arms], [str(delay) for delay in env.delays], shape=_WIDE),)


BOARDS: dict[type, Callable[[Any, Any, Any, Any], Pair]] = {
    Catch: _catch,
    DeepSea: _deep_sea,
    MemoryChain: _memory,
    Bandit: _bandit,
    DiscountingChain: _discounting,
}
