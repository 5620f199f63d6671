from collections.abc import Iterator

import pytest

from pipelines.readers import text


@pytest.fixture(autouse=True, scope="package")
def both_ways() -> Iterator[None]:
    """Small texts are read record by record; here they go the way of large ones too, and nights test the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "SMALL", 0)
        yield
