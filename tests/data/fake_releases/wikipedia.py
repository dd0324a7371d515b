"""Wikipedia by WikiExtractor 3.1: tags in AA/wiki_00 and JSON lines, compressed, in AB/wiki_00.bz2 (it writes one kind a run)."""

import bz2
import json
from pathlib import Path

ROWS = 7
LEFT_OUT = {"fewer than 3 words": 2, "markup is left in it": 1}
TAGGED = """<doc id="974" url="https://en.wikipedia.org/wiki?curid=974" title="Ada "Lovelace"">
Ada "Lovelace"

Ada King was a mathematician. She wrote "notes" &amp; a programme in the U.S. Army. Her father was Lord Byron.
Early life.
Dr. Smith's 3 &lt; 4 holds. The {{Infobox was left in.

</doc>
<doc id="976" url="https://en.wikipedia.org/wiki?curid=976" title="Empty">
Empty

</doc>
"""
DOCUMENTS = [
    {"id": "1", "revid": "2", "url": "https://en.wikipedia.org/wiki?curid=1", "title": "King",
     "text": "King\nThe king reads books."},
    {"id": "3", "revid": "4", "url": "https://en.wikipedia.org/wiki?curid=3", "title": "Café",
     "text": "A café is a place. Its waiter said: \"Caf\u00e9s sell tea!\"\nSee also."},
]  # fmt: skip


def write(root: Path) -> Path:
    for folder in ("AA", "AB"):
        (root / folder).mkdir(parents=True)
    (root / "AA" / "wiki_00").write_text(TAGGED, encoding="utf-8")
    packed = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    (root / "AB" / "wiki_00.bz2").write_bytes(bz2.compress(packed.encode("utf-8")))
    return root
