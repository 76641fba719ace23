"""The best return that perfect memory can expect in Concentration with two kinds of card (Easy and Medium), exactly.

    python -m experiments.oracles.concentration_optimum

Dynamic programming over what a player with perfect memory knows: how many unmatched cards of each colour were seen, and
how many are still unseen. The limit on flips is left out, which can only raise the value, so it is an upper bound for
the game as played; a greedy player of perfect memory reaches it within its standard error on the original (0.814 on
both levels, experiments/running/reference_returns.json).
"""

import sys
from functools import lru_cache

State = tuple[int, int, int, int]  # known black, known red, unseen black, unseen red


def optimum(cards: int, flips: int) -> float:
    """Return the optimal expected return of a game of `cards` cards, half of them of each colour.

    Args:
      cards: deck size N; a match pays 1 / (N / 2).
      flips: length limit of the game; a mismatch costs 2 / flips.
    """
    match, mismatch = 2.0 / cards, -2.0 / flips

    @lru_cache(None)
    def value(known_b: int, known_r: int, unseen_b: int, unseen_r: int) -> float:
        if known_b >= 2:
            return match + value(known_b - 2, known_r, unseen_b, unseen_r)
        if known_r >= 2:
            return match + value(known_b, known_r - 2, unseen_b, unseen_r)
        unseen = unseen_b + unseen_r
        if not unseen:
            return 0.0
        options = [
            unseen_b / unseen * after_black(known_b, known_r, unseen_b - 1, unseen_r) if unseen_b else 0.0,
            unseen_r / unseen * after_black(known_r, known_b, unseen_r - 1, unseen_b, swap=True) if unseen_r else 0.0,
        ]
        best = sum(options)
        if known_b:  # turn a known card first, then an unseen one
            best = max(best, known_first(known_b, known_r, unseen_b, unseen_r, swap=False))
        if known_r:
            best = max(best, known_first(known_r, known_b, unseen_r, unseen_b, swap=True))
        return best

    def look(own: int, other: int, unseen_own: int, unseen_other: int, swap: bool) -> float:
        return value(other, own, unseen_other, unseen_own) if swap else value(own, other, unseen_own, unseen_other)

    def known_first(own: int, other: int, unseen_own: int, unseen_other: int, *, swap: bool) -> float:
        unseen, total = unseen_own + unseen_other, 0.0
        if unseen_own:
            total += unseen_own / unseen * (match + look(own - 1, other, unseen_own - 1, unseen_other, swap))
        if unseen_other:
            total += unseen_other / unseen * (mismatch + look(own, other + 1, unseen_own, unseen_other - 1, swap))
        return total

    def after_black(own: int, other: int, unseen_own: int, unseen_other: int, swap: bool = False) -> float:
        """Return the value after an unseen card of one's "own" colour was turned first; it is no longer unseen."""
        options = []
        if own:
            options.append(match + look(own - 1, other, unseen_own, unseen_other, swap))
        if other:
            options.append(mismatch + look(own + 1, other, unseen_own, unseen_other, swap))
        unseen, gamble = unseen_own + unseen_other, 0.0
        if unseen_own:
            gamble += unseen_own / unseen * (match + look(own, other, unseen_own - 1, unseen_other, swap))
        if unseen_other:
            gamble += unseen_other / unseen * (mismatch + look(own + 1, other + 1, unseen_own, unseen_other - 1, swap))
        if unseen:
            options.append(gamble)
        return max(options)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20 * cards + 1000))
    try:
        return value(0, 0, cards // 2, cards // 2)
    finally:
        sys.setrecursionlimit(limit)


def main() -> None:
    """Print the optimum of both levels."""
    for level, cards, flips in (("Easy", 52, 104), ("Medium", 104, 208)):
        print(f"popgym/Concentration{level}: {optimum(cards, flips):.4f}")


if __name__ == "__main__":
    main()
