"""CelebA: list_attr_celeba.txt with its two header lines, the partition, the identities, aligned faces."""

from pathlib import Path

from tests.data.fake_releases.parts import picture

ATTRIBUTES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair
Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache
Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair
Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
""".split()  # noqa: SIM905
EVERY = {"Blond_Hair": 1, "Male": 2, "Young": 4, "Smiling": 8}
ROWS = 127
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """128 faces of 64 persons: 72 train, 24 val, 32 test; the last has no file."""
    names = [f"{n:06d}.jpg" for n in range(1, 129)]
    lines = [str(len(names)), " ".join(ATTRIBUTES) + " "]
    for n, name in enumerate(names):
        values = [" 1" if n // EVERY.get(attribute, 16) % 2 else "-1" for attribute in ATTRIBUTES]
        lines.append(f"{name} {' '.join(values)}")
    root.mkdir(parents=True)
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = [0] * 72 + [1] * 24 + [2] * 32
    (root / "list_eval_partition.txt").write_text("".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True)))
    (root / "identity_CelebA.txt").write_text("".join(f"{name} {n // 2 + 2880}\n" for n, name in enumerate(names)))
    for n, name in enumerate(names[:-1]):
        picture(root / "img_align_celeba" / name, n)
    return root
