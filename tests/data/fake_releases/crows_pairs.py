"""CrowS-Pairs: a CSV with an index column without a name."""

from pathlib import Path

ROWS = 24
LEFT_OUT: dict[str, int] = {}
HEADER = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators"


def write(root: Path) -> Path:
    rows = [HEADER]
    for number in range(ROWS):
        man, woman = ("The man, {} old, reads.", "The woman, {} old, reads.")
        kind = ("gender", "race-color")[number % 2]
        direction = ("stereo", "antistereo")[number % 3 == 0]
        rows.append(
            f'{number},"{man.format(number)}","{woman.format(number)}",{direction},{kind},"[[\'{kind}\']]",a0,"[\'a1\', \'a2\']"'
        )
    (root / "data").mkdir(parents=True)
    (root / "data" / "crows_pairs_anonymized.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
