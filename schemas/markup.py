"""Leftovers of web pages and of the XML of workbooks in texts (Q67), as SQL."""

from __future__ import annotations

# &amp; first: what was coded twice comes out too.
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"'}
SPACE, RETURN, BREAK = "&nbsp;|&#160;", "(?i)_x000[da]_", "(?i)<br */?>"
TAG = "(?i)</?(?:p|div|span|font|b|i|u|strong|em|td|tr|th|table|tbody|a|o:p|center|li|ul)(?: [^<>]*)?/?>"


def is_likely(sql: str) -> str:
    """SQL: whether a text may hold some; cheap, and true of few texts."""
    return f"(strpos({sql}, '<') > 0 OR strpos({sql}, '&') > 0 OR strpos({sql}, '_x00') > 0)"


def cleaned(sql: str) -> str:
    """SQL: the text without it; <br> is a line break."""
    for coded, character in ENTITIES.items():
        sql = f"replace({sql}, '{coded}', '{character}')"
    for pattern, character in ((SPACE, " "), (RETURN, ""), (BREAK, "\n"), (TAG, "")):
        sql = f"regexp_replace({sql}, '{pattern}', '{character}', 'g')"
    return sql
