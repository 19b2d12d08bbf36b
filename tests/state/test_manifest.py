from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.state.manifest import FileDigest, Manifest

manifests = st.builds(
    Manifest,
    number=st.integers(0),
    files=st.dictionaries(st.text(), st.builds(FileDigest, st.integers(0), st.text())),
    scalars=st.dictionaries(st.text(), st.floats(allow_nan=False)),
)


@given(manifests)
def test_comes_back_from_its_text(manifest: Manifest) -> None:
    assert Manifest.read(manifest.text()) == manifest


@given(manifests, st.data())
def test_no_other_text_is_taken_for_it(manifest: Manifest, data: st.DataObject) -> None:
    text = manifest.text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    changed = text[:start] + data.draw(st.text(max_size=3)) + text[end:]
    if changed != text:
        with pytest.raises(ValueError, match=r"not|Expecting|Extra|Invalid|Unterminated|Exceeds"):
            Manifest.read(changed)


def test_the_seal_covers_every_entry() -> None:
    text = Manifest(1, {"state.pt": FileDigest(3, "ba78")}, {"val/loss": 0.5}).text()
    for key, other in (("number", 2), ("files", {}), ("scalars", {"val/loss": 0.4})):
        changed = json.dumps({**json.loads(text), key: other}, indent=2) + "\n"
        with pytest.raises(ValueError, match="not the text that was written"):
            Manifest.read(changed)
