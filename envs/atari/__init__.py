"""The Atari games of JAXtari 0.2 (`pip install jaxtari`): `atari/<its name>`, and `atari/<its name>_objects`.

The first sees pictures, the second the numbers of the package's objects. They run in the package itself, which is an
extra of this one: `envs.adapters.jaxtari`. The names are written down here, so that listing them imports nothing.

The package draws with sprites that it does not contain. A user installs them, and says whose they are; nothing here
downloads any, or agrees to anything. Until they are there, the ids are not listed.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs import extras
from envs.registry import Lazy, leave_out, register

EXTRA = "pip install 'r2i-jit[atari]'"
SPRITES = "python -m jaxtari.install_sprites"
NAMES = (
    *("airraid", "alien", "amidar", "assault", "asterix", "asteroids", "atlantis", "backgammon", "bankheist"),
    *("basicmath", "beamrider", "berzerk", "blackjack", "boxing", "breakout", "casinoblackjack"),
    *("casinofivestudpoker", "casinopokersolitaire", "centipede", "choppercommand", "donkeykong", "enduro"),
    *("fishingderby", "flagcapture", "freeway", "frostbite", "galaxian", "gopher", "gravitar", "hangman"),
    *("hauntedhouse", "humancannonball", "journeyescape", "kaboom", "kangaroo", "kingkong", "klax", "lasergates"),
    *("miniaturegolf", "montezumarevenge", "mspacman", "namethisgame", "othello", "pacman", "phoenix", "pong", "qbert"),
    *("riverraid", "roadrunner", "seaquest", "sirlancelot", "skiing", "slotmachine", "spaceinvaders", "spacewar"),
    *("surround", "tennis", "tetris", "timepilot", "tron", "turmoil", "upndown", "venture", "videocheckers"),
    *("videochess", "videocube", "videopinball", "wizardofwor", "wordzapper", "yarsrevenge"),
)
# Games that import pygame, which the package does not ask for.
PYGAME = ("atlantis", "donkeykong", "galaxian", "namethisgame")
# Of the 26 games of Atari 100k, those that the package lacks.
MISSING = ("battlezone", "crazyclimber", "demonattack", "hero", "jamesbond", "krull", "kungfumaster", "privateeye")

# The package's own names for where it keeps sprites, now and before, and for whose they are (paths.py:19-30).
_FOLDERS = ("jaxtari", "jaxatari")
_MARKERS = (".ownership_confirmed", ".alternative_sprites_installed")


def installed() -> bool:
    """Return whether the package is, and sprites are."""
    if find_spec("jaxtari") is None or find_spec("platformdirs") is None:
        return False
    from platformdirs import user_data_dir

    return any(Path(user_data_dir(folder), marker).exists() for folder in _FOLDERS for marker in _MARKERS)


def installed_with_pygame() -> bool:
    """Return whether the package, sprites and pygame are."""
    return find_spec("pygame") is not None and installed()


def made(name: str, observation: str = "pictures", **options: Any) -> Any:
    """Return the environment of a game.

    Args:
      name: the package's.
      observation: "pictures" or "objects".
      options: of `envs.adapters.jaxtari.named`.

    Raises:
      ValueError: if the package, one that it needs, or its sprites are not installed.
    """
    env_id = f"atari/{name}" + ("_objects" if observation == "objects" else "")
    try:
        given = {"name": name, "observation": observation, **options}
        return extras.made(env_id, "envs.adapters.jaxtari:named", given, EXTRA, {"pygame": "pip install pygame"})
    except FileNotFoundError as error:
        raise ValueError(
            f"environment {env_id!r} needs sprites{_lacking(error)}, which JAXtari does not contain: run {SPRITES}, "
            "which asks whose they are and downloads them (nothing here downloads any, or agrees to anything)"
        ) from error


def _lacking(error: FileNotFoundError) -> str:
    """Return which file of a pack that is installed is not in it."""
    return f" and finds no {error.filename}" if error.filename else ""


for _name in NAMES:
    _available = installed_with_pygame if _name in PYGAME else installed
    register(f"atari/{_name}", Lazy(f"{__name__}:made", {"name": _name}), available=_available)
    register(
        f"atari/{_name}_objects",
        Lazy(f"{__name__}:made", {"name": _name, "observation": "objects"}),
        available=_available,
    )
for _name in MISSING:
    leave_out(f"atari/{_name}", "JAXtari 0.2 has no such game")
