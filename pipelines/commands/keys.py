"""`qiongxin keys`: the pseudonym key of a home."""

from __future__ import annotations

import typer

from pipelines.commands import screen
from pipelines.commands.account import has_ledger, named_server
from pipelines.commands.options import DEFAULT_HOME, PLAIN, HomeOption, JsonOption, existing
from pipelines.errors import UsageFault

keys_app = typer.Typer(**PLAIN, help="The pseudonym key of this home.")


@keys_app.callback()
def keys() -> None:
    """The pseudonym key of this home."""


@keys_app.command("rotate", epilog="Example: qiongxin keys rotate")
def rotate(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make every pseudonym another one, under a new key, in a release of its own that shows the same records.

    The key file gets a second secret, or a further one, and is needed as a whole from then on. Older releases are not
    answered from any more, and their files go after as many days as those from before a deletion. It cannot be undone.
    Nights wait meanwhile; while one is at work, nothing is rotated.
    """
    from pipelines.rotate import rotate as made

    place = existing(home)
    if not has_ledger(home):
        raise UsageFault(f"{home}: no night has run here yet. Run 'qiongxin nightly --date DATE' first.")
    with named_server(place), screen.progress(as_json) as tell:
        told = made(place, tell)
    if as_json:
        screen.as_json(told)
        return
    print(f"release: {told['release']}, {told['items']:,} items and {told['files']:,} files of deliveries taken over")
    if told["held_again"]:
        print(f"held again with the next night: {', '.join(told['held_again'])}")
    print(f"the key file has a new secret: {told['key']}. Keep a copy of it elsewhere; no later backup is restored"
          " without it")  # fmt: skip


__all__ = ["keys_app"]
