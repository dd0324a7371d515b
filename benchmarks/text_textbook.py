"""An epoch of block pruning as it is usually written: sentences padded to 128, float32, masks spread over weights by autograd.

The original is asked in every step, and the loader reads sentence by sentence. A BERT of transformers, on one process. Padding is
kept out of the means, as methods.md asks; all else is the plain way.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

MAX_LENGTH = 128


class PaddedSentences(Dataset):
    def __init__(self, table: Any, rows: Sequence[int]):
        self.table, self.rows = table, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        batch = self.table.batch([self.rows[index]])
        room = (0, MAX_LENGTH - batch["input_ids"].shape[1])
        return {
            "input_ids": F.pad(batch["input_ids"][0], room, value=self.table.pad_id),
            "attention_mask": F.pad(batch["attention_mask"][0], room),
            "keyword_mask": F.pad(batch["keyword_mask"][0].float(), room),
            "kind": batch["kind"][0],
        }


class Binarize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, threshold: float) -> Tensor:
        return (torch.sigmoid(scores) > threshold).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class BlockLinear(nn.Module):
    """A frozen Linear seen through a mask of blocks of (rows, columns) weights."""

    threshold = 0.0

    def __init__(self, linear: nn.Linear, scores: nn.Parameter, rows: int, columns: int):
        super().__init__()
        self.linear, self.scores, self.block = linear, scores, (rows, columns)

    def forward(self, x: Tensor) -> Tensor:
        grid = (self.linear.out_features // self.block[0], self.linear.in_features // self.block[1])
        mask = Binarize.apply(self.scores, BlockLinear.threshold).view(grid)
        mask = mask.repeat_interleave(self.block[0], 0).repeat_interleave(self.block[1], 1)
        return F.linear(x, self.linear.weight * mask, self.linear.bias * mask.detach().amax(1))


def put_masks(net: nn.Module, block: int) -> dict[str, nn.Parameter]:
    """Masked layers in the places of a BERT's Linear layers; the scores by `{layer}_{role}`."""
    scores: dict[str, nn.Parameter] = {}

    def masked(linear: nn.Linear, name: str, rows: int, columns: int) -> BlockLinear:
        blocks = linear.out_features // rows, linear.in_features // columns
        shape = (max(blocks),) if name.endswith("intermediate") else blocks
        scores.setdefault(name, nn.Parameter(torch.zeros(shape)))
        return BlockLinear(linear, scores[name], rows, columns)

    for number, layer in enumerate(net.encoder.layer):
        attention, neurons = layer.attention.self, f"{number}_intermediate"
        for role in ("query", "key", "value"):
            setattr(attention, role, masked(getattr(attention, role), f"{number}_{role}", block, block))
        layer.attention.output.dense = masked(layer.attention.output.dense, f"{number}_output", block, block)
        up, down = layer.intermediate.dense, layer.output.dense
        layer.intermediate.dense = masked(up, neurons, 1, up.in_features)
        layer.output.dense = masked(down, neurons, down.out_features, 1)
    return scores


def penalty(scores: dict[str, nn.Parameter]) -> Tensor:
    attention = [torch.sigmoid(s).mean() for name, s in scores.items() if not name.endswith("intermediate")]
    neurons = [torch.sigmoid(s).mean() for name, s in scores.items() if name.endswith("intermediate")]
    return (torch.stack(attention).mean() + torch.stack(neurons).mean()) / 2


def layers(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    found = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True)
    return torch.stack(found.hidden_states)


def of_keywords(outputs: Tensor, keyword_mask: Tensor) -> Tensor:
    weight = keyword_mask / keyword_mask.sum(1, keepdim=True)
    return (outputs * weight[None, :, :, None]).sum(2)


class Textbook:
    """One epoch of pruning.

    Args:
        net: a BERT of transformers, whose Linear layers are replaced.
        table: the sentences.
        groups: rows of each group of the attribute.
        stage: the configuration of the stage `prune`.
        schedule: of the threshold.
    """

    def __init__(self, net: nn.Module, table: Any, groups: Sequence[Sequence[int]], stage: Any, schedule: Any):
        self.original = copy.deepcopy(net).requires_grad_(False).eval()
        self.net = net.requires_grad_(False).eval()
        self.table, self.groups, self.stage, self.schedule = table, groups, stage, schedule
        self.scores = put_masks(self.net, stage.structure.block_size)

    def epoch(self, batches: Sequence[Sequence[int]]) -> list[dict[str, float]]:
        """The losses of each step."""
        optimizer = instantiate(self.stage.optimizer)(list(self.scores.values()))
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
        rows = [row for batch in batches for row in batch]
        places = iter(range(len(rows)))
        loader = DataLoader(PaddedSentences(self.table, rows), batch_sampler=[[next(places) for _ in batch] for batch in batches])
        BlockLinear.threshold = self.schedule.threshold(0, len(batches))
        direction = self.direction()
        seen = []
        for step, batch in enumerate(loader):
            BlockLinear.threshold = self.schedule.threshold(step, len(batches))
            figures = self.losses(batch, direction)
            optimizer.zero_grad()
            figures["loss"].backward()
            optimizer.step()
            decay.step()
            seen.append({name: float(value.detach()) for name, value in figures.items()})
        return seen

    @torch.no_grad()
    def direction(self) -> Tensor:
        """v_m - v_f of the last layer."""
        means = []
        for rows in self.groups:
            total = torch.zeros(())
            for batch in DataLoader(PaddedSentences(self.table, rows), batch_size=self.stage.batch_size):
                total = total + of_keywords(layers(self.net, batch), batch["keyword_mask"])[-1].sum(0)
            means.append(total / len(rows))
        return means[0] - means[1]

    def losses(self, batch: dict[str, Tensor], direction: Tensor) -> dict[str, Tensor]:
        outputs = layers(self.net, batch)
        target = batch["kind"] == len(self.groups)
        attribute = {name: tensor[~target] for name, tensor in batch.items()}
        charge = (outputs[-1][target] @ direction).square() * batch["attention_mask"][target]
        debias = charge.sum() / batch["attention_mask"][target].sum()
        with torch.no_grad():
            before = of_keywords(layers(self.original, attribute), attribute["keyword_mask"])
        distance = (of_keywords(outputs[:, ~target], attribute["keyword_mask"]) - before).square().sum(-1).mean()
        charges, shrink = self.stage.losses, penalty(self.scores)
        loss = charges.debias_weight * debias + charges.distance_weight * distance + charges.penalty * shrink
        return {"loss": loss, "debias": debias, "distance": distance, "penalty": shrink}
