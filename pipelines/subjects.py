"""Judgements of subjects: who decides what, why, and until when. Only here does a person's word enter."""

from __future__ import annotations

import re
from datetime import date
from itertools import combinations

from pipelines.conflicts import ABOUT_ONE, Conflict, conflicts
from pipelines.errors import UsageFault
from pipelines.model import Home
from pipelines.stores import judgements, vault
from pipelines.stores.ledger import Ledger
from pipelines.stores.own_keys import own_keys
from schemas.record import LOOSE, PHONE

Pair = tuple[bytes, bytes]


def judge(
    ledger: Ledger, pair: tuple[str, str], verdict: str, on: date, by: str, reason: str
) -> list[int]:
    """Enter that two subjects are `same` (what is known of the first is known of the second, which stands for both) or
    `different`; the number of the judgement. Raises `UsageFault`."""
    one, other = (_pseudonym(s) for s in pair)
    if one == other:
        raise UsageFault("subjects judge: one subject is itself. Name two, or a conflict with --conflict.")
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        for subject in (one, other):
            if not vault.knows(cursor, subject):
                raise UsageFault(f"{subject.hex()}: nobody is known by it. See 'qiongxin subjects conflicts'.")
    return _entered(ledger, [(one, other)], verdict, on, by, reason, None)


def settle(home: Home, ledger: Ledger, mark: str, verdict: str, on: date, by: str, reason: str) -> list[int]:
    """Enter a judgement of a conflict as it is listed: about one subject, that its records are of one person (`same`)
    or of several (`different`); of persons who share name and birth date, that they are different. Raises
    `UsageFault`."""
    found = next((c for c in conflicts(home, ledger, own_keys(home.root, ledger)) if c.conflict == mark), None)
    if found is None:
        raise UsageFault(f"--conflict {mark}: no such conflict now. See 'qiongxin subjects conflicts --all'.")
    about = found.conflict if found.kind in ABOUT_ONE else None
    return _entered(ledger, _pairs(found, verdict), verdict, on, by, reason, about)


def _pairs(found: Conflict, verdict: str) -> list[Pair]:
    subjects = [bytes.fromhex(s) for s in found.subjects]
    if found.kind in ABOUT_ONE:
        return [(subjects[0], subjects[0])]
    if found.kind == "link" or verdict == "same":
        raise UsageFault(
            f"--conflict {found.conflict}: it does not say which number stands for the person. Name the two subjects"
            " with --subject and --other."
        )
    several = zip(subjects, found.persons, strict=True)
    return [(a, b) for (a, one), (b, other) in combinations(several, 2) if one != other]


def _entered(
    ledger: Ledger, pairs: list[Pair], verdict: str, on: date, by: str, reason: str, conflict: str | None
) -> list[int]:
    if verdict not in judgements.VERDICTS:
        raise UsageFault(f"--verdict {verdict}: write 'same' or 'different'.")
    by, reason = _said("--by", by), _said("--reason", reason)
    made = [judgements.make(ledger, pair, verdict, on, by, reason, conflict) for pair in pairs]
    if all(number is None for number in made):
        raise UsageFault("subjects judge: it is judged already. Undo that with 'qiongxin subjects undo' first.")
    return [number for number in made if number is not None]


def undo(ledger: Ledger, number: int, on: date, by: str, reason: str) -> None:
    """Enter that a judgement counts no more. Raises `UsageFault`."""
    if not judgements.undo(ledger, number, on, _said("--by", by), _said("--reason", reason)):
        raise UsageFault(f"{number}: no judgement of that number stands. See 'qiongxin subjects judgements'.")


def _said(option: str, text: str) -> str:
    """What somebody writes about a judgement lies outside the vault, so it names nobody by a number."""
    if not text.strip():
        raise UsageFault(f"{option}: say it in words.")
    if re.search(f"{LOOSE}|{PHONE}|[0-9]{{15}}", text):
        raise UsageFault(f"{option}: it holds the number of a person or a phone. Leave it out.")
    return text.strip()


def _pseudonym(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise UsageFault(f"{text}: not a subject_id. Write its 32 hexadecimal digits.")
    return found
