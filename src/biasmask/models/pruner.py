"""Pruning scores on an encoder whose weights stay as they are: attaching, masks, folding.

The pruner owns the scores and nothing else: the network's weights are neither among its parameters nor in its state dict.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.errors import ConfigError, MethodError
from biasmask.methods.block_mask import check_grid, expand, regulariser, rows_kept
from biasmask.models.encoder_layers import ATTENTION_ROLES, EncoderLayer, Matrix, discover_layers, linear_at
from biasmask.models.masked_linear import Gate, Level, MaskedLinear, Rows, replace_module
from biasmask.models.prune_map import NEURON_ROLES, NEURONS, describe

STRUCTURES = ("block", "head")
TRAINABLE = ("all", "values_only")


class Pruner(nn.Module):
    """Scores of blocks, heads and neurons of an encoder, and the masks they give in its forward pass.

    Building one replaces the masked Linear layers of `net` by layers with the same parameters under the same names;
    `fold` makes the masks part of the weights, `detach_from_net` takes everything back. Scores start at 0.

    Args:
        net: a transformer encoder, alone or with any head.
        structure: `block`: block_size x block_size in the attention matrices; `head`: the rows of a head in query, key
            and value, its columns in the output.
        block_size: edge of a block; of no meaning to `head`.
        attention: scores for the attention matrices.
        feed_forward: one score for each intermediate neuron: its row in the first, its column in the second matrix.
        min_kept: share of each matrix's blocks that always stays, in [0, 1].
        trainable: `all`, or `values_only`: only value matrices have scores, all others (neurons too) have none.
        shared: query, key and value of a layer have one Parameter.

    Raises:
        ConfigError: an unknown architecture or value, a block size that doesn't divide a matrix, or nothing to prune.
    """

    def __init__(
        self,
        net: nn.Module,
        structure: str,
        block_size: int | None = None,
        attention: bool = True,
        feed_forward: bool = True,
        min_kept: float = 0.0,
        trainable: str = "all",
        shared: bool = False,
    ) -> None:
        super().__init__()
        _check_choices(structure, block_size, min_kept, trainable, shared)
        if any(isinstance(module, MaskedLinear) for module in net.modules()):
            raise ConfigError("the network has a pruner already: fold it or detach it first")
        self.structure, self.block_size = structure, block_size if structure == "block" else None
        self.layers = discover_layers(net)
        self.gates: dict[str, Gate] = {}
        self.scores: dict[str, nn.Parameter] = {}
        self.parameters_by_matrix = nn.ParameterDict()
        self._level = Level(0.0, min_kept)
        self._net = (net,)  # in a tuple, so that the net is no child of the pruner
        roles = [role for role in ATTENTION_ROLES if attention and (trainable == "all" or role == "value")]
        if feed_forward and trainable == "all":
            roles.append(NEURONS)
        if not roles:
            raise ConfigError("nothing to prune: neither attention nor feed_forward has scores")
        device = next(net.parameters()).device
        grids = {
            matrix.name: self._grid(layer, matrix)
            for layer in self.layers
            for role, matrix in layer.matrices.items()
            if attention or role in NEURON_ROLES
        }
        for layer in self.layers:
            for role in roles:
                self._add_gate(layer.matrices[role], grids, shared, device)
        self._masked = self._attach(net, grids)

    @property
    def net(self) -> nn.Module:
        """The network that the pruner masks."""
        return self._net[0]

    @property
    def threshold(self) -> float:
        """tau, which all masks are taken at."""
        return self._level.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._level.threshold = float(value)

    def regulariser(self) -> Tensor:
        """R over all masked matrices; a Parameter that several share counts once for each (see `methods.block_mask`)."""
        attention = [gate.scores for name, gate in self.gates.items() if not name.endswith(f".{NEURONS}")]
        return regulariser(attention, [gate.scores for name, gate in self.gates.items() if name.endswith(f".{NEURONS}")])

    def masks(self) -> dict[str, Tensor]:
        """`layer.role` -> bool grid of blocks at the current threshold; `layer.intermediate` -> bool vector of neurons."""
        return {name: gate.kept() for name, gate in self.gates.items()}

    def block_weights(self) -> dict[str, int]:
        """Weights that one entry of each mask stands for; a neuron has those of its row and of its column."""
        found = {}
        for layer in self.layers:
            for matrix in layer.matrices.values():
                if (gate := self.gates.get(matrix.name)) is not None:
                    found[matrix.name] = matrix.shape[0] * matrix.shape[1] // gate.scores.numel()
            if (name := f"{layer.index}.{NEURONS}") in found:
                found[name] += layer.matrices["feed_forward_output"].shape[0]
        return found

    def set_masks(self, masks: Mapping[str, Tensor] | None) -> None:
        """Put fixed masks in the place of the scores' own, or take them away again.

        Args:
            masks: as `masks` gives them, all of them; none: the scores decide again.
        Raises:
            ConfigError: names or shapes aren't this pruner's.
        """
        if masks is None:
            for gate in self.gates.values():
                gate.fixed = None
            return
        if masks.keys() != self.gates.keys():
            odd = sorted(masks.keys() ^ self.gates.keys())
            raise ConfigError(f"the masks aren't of this pruner's matrices: {', '.join(odd[:6])} differ(s)")
        for name, mask in masks.items():
            if mask.shape != self.gates[name].scores.shape:
                want = tuple(self.gates[name].scores.shape)
                raise ConfigError(f"the mask of {name} is {tuple(mask.shape)}, its scores are {want}")
        for name, gate in self.gates.items():
            gate.fixed = masks[name].bool().to(gate.scores.device)

    def describe(self) -> dict[str, Any]:
        """What the masks keep at the current threshold, as plain values (see `prune_map.describe`)."""
        return describe(self.layers, self.masks(), self.structure, self.block_size, self.threshold)

    @torch.no_grad()
    def fold(self) -> nn.Module:
        """Set masked weights and bias entries to 0 in plain Linear layers, and give the network back.

        Raises:
            MethodError: the pruner isn't attached any more.
        """
        self._check_attached()
        for masked in self._masked:
            mask = masked.grid_mask()
            masked.weight.masked_fill_(expand(mask == 0, masked.weight.shape), 0.0)
            if masked.bias is not None:
                masked.bias.masked_fill_(rows_kept(mask, masked.out_features) == 0, 0.0)
        return self.detach_from_net()

    def detach_from_net(self) -> nn.Module:
        """Put the original Linear layers back, their weights as they are, and give the network back.

        Raises:
            MethodError: the pruner isn't attached any more.
        """
        self._check_attached()
        for masked in self._masked:
            masked.original.train(masked.training)
            replace_module(self.net, masked, masked.original)
        self._masked = []
        return self.net

    def _check_attached(self) -> None:
        if not self._masked:
            raise MethodError("the pruner isn't attached any more: it was folded or detached before; build a new one")

    def _grid(self, layer: EncoderLayer, matrix: Matrix) -> tuple[int, int]:
        rows, columns = matrix.shape
        if matrix.role in NEURON_ROLES:
            return (rows, 1) if matrix.role == NEURONS else (1, columns)
        if self.structure == "head":
            return (1, layer.heads) if matrix.role == "output" else (layer.heads, 1)
        edge = self.block_size or 0
        try:
            return check_grid(rows, columns, edge, edge, matrix.module)
        except ValueError as error:
            raise ConfigError(f"prune_block_size={self.block_size}: {error}") from None

    def _add_gate(self, matrix: Matrix, grids: dict[str, tuple[int, int]], shared: bool, device: torch.device) -> None:
        tied = shared and matrix.role in ("query", "key", "value")
        key = f"{matrix.layer}_query_key_value" if tied else f"{matrix.layer}_{matrix.role}"
        if key not in self.parameters_by_matrix:
            rows, columns = grids[matrix.name]
            shape = (rows,) if matrix.role == NEURONS else (rows, columns)
            self.parameters_by_matrix[key] = nn.Parameter(torch.zeros(shape, device=device))
        scores = self.parameters_by_matrix[key]
        self.gates[matrix.name] = Gate(scores, self._level)
        fused = linear_at(self.net, matrix.module).out_features != matrix.shape[0]
        self.scores[f"{matrix.module}.{matrix.role}" if fused else matrix.module] = scores

    def _attach(self, net: nn.Module, grids: dict[str, tuple[int, int]]) -> list[MaskedLinear]:
        attached = []
        for layer in self.layers:
            parts: dict[str, list[Rows]] = {}
            for matrix in (matrix for matrix in layer.matrices.values() if matrix.name in grids):
                name = f"{layer.index}.{NEURONS}" if matrix.role in NEURON_ROLES else matrix.name
                parts.setdefault(matrix.module, []).append(Rows(self.gates.get(name), grids[matrix.name]))
            for module, rows in parts.items():
                if any(part.gate for part in rows):
                    linear = linear_at(net, module)
                    attached.append(MaskedLinear(linear, rows))
                    replace_module(net, linear, attached[-1])
        return attached


def _check_choices(structure: str, block_size: int | None, min_kept: float, trainable: str, shared: bool) -> None:
    if structure not in STRUCTURES:
        raise ConfigError(f"structure={structure}: it is one of {', '.join(STRUCTURES)}")
    if trainable not in TRAINABLE:
        raise ConfigError(f"trainable={trainable}: it is one of {', '.join(TRAINABLE)}")
    if structure == "block" and (block_size is None or block_size < 1):
        raise ConfigError(f"prune_block_size={block_size}: the structure block needs the edge of a block, at least 1")
    if not 0 <= min_kept <= 1:
        raise ConfigError(f"min_kept={min_kept}: it is a share of the blocks, from 0 to 1")
    if shared and trainable == "values_only":
        raise ConfigError("shared=true with trainable=values_only: without scores of query and key nothing can be shared")
