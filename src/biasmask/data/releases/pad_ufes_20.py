"""PAD-UFES-20: `metadata.csv` beside the folders of its smartphone photographs."""

from pathlib import Path

from biasmask.data.image_index import index_files
from biasmask.data.release import Release, mapped, official_table, picture_release, tidy

COLUMNS = ("patient_id", "lesion_id", "age", "gender", "fitspatrick", "region", "diagnostic", "img_id", "biopsed")
DIAGNOSES = {**dict.fromkeys(("bcc", "scc", "mel"), "malignant"), **dict.fromkeys(("ack", "nev", "sek"), "benign")}


def read(source: Path, homepage: str) -> Release:
    """PAD-UFES-20 as Mendeley Data gives it out; target: malignant (BCC, SCC, MEL) or benign (ACK, NEV, SEK).

    `fitspatrick` (1 to 6, the official spelling), `gender` and more are missing for about a third of the rows.
    """
    names = ["metadata.csv", "pad_ufes_20_metadata.csv"]
    _, table = official_table(source, names, COLUMNS, homepage, ["patient_id", "img_id"])
    frame = tidy(
        table,
        id=table["img_id"].str.replace(r"\.png$", "", regex=True),
        file=table["img_id"].map(index_files(source)),
        target=mapped(table["diagnostic"], DIAGNOSES),
        subject=table["patient_id"],
    )
    return picture_release(frame, "`diagnostic` is none of the six")
