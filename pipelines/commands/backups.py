"""`qiongxin backup|restore`: a home kept elsewhere, and made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import has_ledger, named_server
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, existing
from pipelines.errors import UsageFault


def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where backups lie; each is a folder in it.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Back the home up: one consistent point of database, vault, curated store and files.

    Nights wait meanwhile; while one is at work, no backup is made. The pseudonym key is not in it: keep it elsewhere.
    """
    from pipelines.backup import backup as made

    place = existing(home)
    if not has_ledger(home):
        raise UsageFault(f"{home}: no night has run here yet. Run 'qiongxin nightly --date DATE' first.")
    with named_server(place), screen.progress(as_json) as tell:
        told = made(place, to, tell)
    if as_json:
        screen.as_json(told)
        return
    print(f"{told['folder']}: release {told['release_id']} ({told['as_of']}), {told['files']:,} files,"
          f" {told['bytes']:,} bytes")  # fmt: skip
    print(f"the pseudonym key is not in it: {told['key']}. Keep it in another place; no backup is restored without it")


def restore(
    source: Annotated[Path, typer.Option("--from", metavar="FOLDER", help="One backup.")],
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="The pseudonym key; it is put into the home.")
    ] = None,
    deleted: Annotated[
        Path | None,
        typer.Option("--tombstones", metavar="FILE", help="What 'deletions --keys --json' told after the backup."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a new home, under any path, and an empty database.

    The database is embedded in the home, or the empty one that QIONGXIN_DATABASE_URL names. What was deleted after the
    backup comes back, unless --tombstones tells of it; the next night deletes it then.
    """
    from pipelines.restore import restore as made

    with named_server(home.resolve()), screen.progress(as_json) as tell:
        told = made(source, home, key_file, deleted, tell)
    if as_json:
        screen.as_json(told)
        return
    print(f"{home}: release {told['release_id']} ({told['as_of']}), {told['files']:,} files")
    if deleted is None:
        print("records deleted since the backup are here again: nobody named them with --tombstones")
    else:
        print(f"{told['tombstones']:,} records deleted since the backup go with the next night")
