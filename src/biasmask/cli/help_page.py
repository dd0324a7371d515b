"""The page of `--help`: what to type, the groups with their choices, the keys of the top level."""

from biasmask.cli.catalogue import Key, choices, groups, keys

EXAMPLES = {
    "train": (
        ("experiment=bmft_rendered trainer=cpu", "the demo: rendered lesions"),
        ("experiment=bmft data=csv data.table=mine.csv attribute=sex model.ckpt_path=mine.pt", "your own model and table"),
        ("experiment=bmft_ham10000 paths.data_dir=<folder> debias.edit_fraction=0.05", "a public data set"),
        ("-m experiment=bmft_ham10000 attribute=age,sex debias=bmft,last_layer seed=1,2,3", "a sweep, and its comparison"),
        ("experiment=debias_block_pruning_frozen data.files=sentences.txt", "a text encoder"),
    ),
    "eval": (
        ("ckpt_path=logs/runs/<name>/<time>", "a run on its own test rows"),
        ("ckpt_path=logs/runs/<name>/<time> data=fitzpatrick17k paths.data_dir=<folder>", "on another data set"),
        ("ckpt_path=<folder of a Hugging Face encoder>", "any text encoder"),
    ),
}
TASK = {"train": "Train a baseline, or take your model, and debias it.", "eval": "Evaluate a run or a checkpoint."}
MORE = """More:
  python src/train.py info=experiments    also info=methods, info=data, info=metrics: lists with a line each
  python src/{entry}.py <keys> --cfg job    the composed configuration, without running it (--resolve: with all values)
  python src/{entry}.py --hydra-help        Hydra's own flags (-m, --info, --shell-completion ...)
  docs/                                   own_data.md, run_folder.md, command_line.md and others"""


def help_page(entry: str) -> str:
    """The help of `train` or `eval`, made of the comments in configs/.

    >>> "attribute=" in help_page("train"), help_page("eval").splitlines()[0]
    (True, 'Evaluate a run or a checkpoint.')
    """
    chosen, own = keys(entry)
    parts = [TASK[entry], f"Usage: python src/{entry}.py [group=choice ...] [key=value ...]", "", "Examples:"]
    for words, about in EXAMPLES[entry]:
        parts += [f"  # {about}", f"  python src/{entry}.py {words}"]
    parts += ["", "Keys of the top level; those in groups are set as group.key=value:", *table(own), ""]
    parts += ["Groups, as group=choice; * is the default:"]
    for key in chosen:
        parts += ["", *group_lines(key)]
    return "\n".join([*parts, "", MORE.format(entry=entry)])


def group_lines(key: Key) -> list[str]:
    """A group with a line for each of its choices.

    >>> group_lines(Key("family", "image", "what is debiased"))[0]
    'family: what is debiased'
    """
    group = key.name.partition("@")[0]
    lines = [f"{key.name}: {key.about}" if key.about else f"{key.name}:"]
    found = choices(group) if group in groups() else []
    width = max((len(choice.name) for choice in found), default=0)
    return lines + [f"  {'*' if c.name == key.value else ' '} {c.name:<{width}}  {c.about}".rstrip() for c in found]


def table(own: list[Key]) -> list[str]:
    """Keys with their defaults and comments, in columns."""
    typed = [f"{key.name}={key.value}" for key in own]
    width = max(map(len, typed), default=0)
    return [f"  {words:<{width}}  {key.about}".rstrip() for words, key in zip(typed, own, strict=True)]
