"""ISIC 2019 (HAM10000, BCN20000 and MSK): one-hot ground truth of eight diagnoses, and metadata."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, find_files, numbers, official_table, one_hot_label, picture_release, tidy

LABELS = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
MALIGNANT = ("MEL", "BCC", "AK", "SCC")
META = ("image", "age_approx", "anatom_site_general", "sex")
TEST_TRUTH = "ISIC_2019_Test_GroundTruth.csv"


def read(source: Path, homepage: str) -> Release:
    """ISIC 2019; target: malignant (MEL, BCC, AK, SCC) or benign (NV, BKL, DF, VASC), `diagnosis` keeps all eight.

    With the test set's ground truth and metadata (published later) there is the official split train / test, else none.
    """
    parts = [_part(source, homepage, "Training", "train")]
    has_test = bool(find_files(source, [TEST_TRUTH]))
    if has_test:
        parts.append(_part(source, homepage, "Test", "test"))
    table = pd.concat(parts, ignore_index=True)
    files = index_stems(source)
    plain = table["image"].str.removesuffix("_downsampled")
    diagnosis = one_hot_label(table, LABELS)
    target = pd.Series(diagnosis).map({label: "malignant" if label in MALIGNANT else "benign" for label in LABELS})
    frame = tidy(
        table.drop(columns=[*LABELS, "UNK", "image", "score_weight", "validation_weight"], errors="ignore"),
        id=table["image"],
        file=table["image"].map(files).fillna(plain.map(files)),
        target=target,
        split=table["split"],
        subject=table["lesion_id"],
        diagnosis=diagnosis,
        age_approx=numbers(table["age_approx"], 0, 120),
    )
    note = "split: the official training and test set" if has_test else f"no official test set: there is no {TEST_TRUTH}"
    return picture_release(frame if has_test else frame.drop(columns="split"), "no one of the eight diagnoses (UNK)", [note])


def _part(source: Path, homepage: str, part: str, split: str) -> pd.DataFrame:
    _, truth = official_table(source, [f"ISIC_2019_{part}_GroundTruth.csv"], ("image", *LABELS), homepage, ["image"])
    _, about = official_table(source, [f"ISIC_2019_{part}_Metadata.csv"], META, homepage, ["image", "lesion_id"])
    if "lesion_id" not in about:
        about["lesion_id"] = None  # the test set has none
    return truth.merge(about.drop_duplicates("image"), on="image", how="left", validate="one_to_one").assign(split=split)
