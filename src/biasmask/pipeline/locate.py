"""The stage `locate`: importances of all backbone parameters in one walk, and from them the mask of those to edit."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import lightning
from safetensors.torch import load_file, save_file
from torch import Tensor

from biasmask.errors import ConfigError, MethodError
from biasmask.files import replaced, write_json
from biasmask.methods import importance_score, weight_mask
from biasmask.methods.depth_mask import depth_mask
from biasmask.models.image_classifier import backbone_parameters
from biasmask.modules.bias_mask import BiasMaskModule
from biasmask.pipeline.bias_map import region_importances
from biasmask.pipeline.context import Context, ModelState, StageRecord
from biasmask.pipeline.stages import expected_warnings
from biasmask.pipeline.store import hash_of

MASK_SETTINGS = ("source", "ratio_epsilon", "edit_fraction", "granularity")  # the walk doesn't depend on these
WITHOUT_WALK = ("random", "ones", "last_layers", "first_layers")
SOURCES = ("ratio", "difference", "reference", "bias_only", *WITHOUT_WALK)


@dataclass
class Locate:
    """Find the parameters that carry the bias.

    The walk is kept in the store without the settings of the mask, so that a sweep over edit fractions walks once.

    Args:
        source: `ratio` (bias over task importance), `difference` (bias minus task importance), `bias_only`, `random` or `ones`
            (controls), or `reference` (strictly above the percentile of the ratio, as published); `last_layers` or
            `first_layers`: by depth alone, whole layers.
        ratio_epsilon: eps of bias / (task + eps), both scaled to [0, 1] per tensor; 1e-10 as published, large: as `bias_only`.
        edit_fraction: share of the backbone's parameters in the mask.
        granularity: `weight`, `channel` or `layer`.
        importance: `squared_gradient` or `abs_gradient`.
        per_sample: task importance from single samples.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        class_balance: of the task loss.
        batch_size: images a batch; the batch form of the importance depends on it.
        batches: `sequential` or `group_target`.
        split: the rows to walk over.
    """

    source: str
    ratio_epsilon: float
    edit_fraction: float
    granularity: str
    importance: str
    per_sample: bool
    bias_loss: dict[str, Any]
    class_balance: str
    batch_size: int
    batches: str
    split: str = "debias"
    include_head: ClassVar[bool] = False  # whether the walk goes over the head too; masks of the backbone don't need it

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ConfigError(f"debias.locate.source={self.source}: choose one of {', '.join(SOURCES)}")
        if not 0 < self.edit_fraction <= 1:
            raise ConfigError(f"debias.edit_fraction={self.edit_fraction}: give a share above 0 and at most 1")

    def run(self, name: str, state: ModelState | None, context: Context) -> ModelState:
        """The same model with a mask."""
        assert state is not None, "locate needs a model: the baseline comes first"
        started, before = time.monotonic(), context.clock.now()
        importances, about, reused = None, None, False
        if self.source not in WITHOUT_WALK:
            importances, about, reused = self._importances(name, state, context)
        mask, threshold = self._mask(state, importances, context.seed)
        info = self._describe(mask, threshold, about, state)
        if importances is not None:
            info["region_importance"] = region_importances(state.network(), importances)
        label = self._label(info)
        notes = []
        if about and about["batches_without_bias_loss"]:
            notes.append(f"{about['batches_without_bias_loss']} of {about['batches']} batches had no defined bias loss")
        seconds = round(time.monotonic() - started, 3)
        spent = None if reused else context.spent_since(before)
        context.records.append(StageRecord(stage=name, label=label, seconds=seconds, reused=reused, notes=notes, spent=spent))
        return replace(state, mask=mask, mask_info=info)

    def _label(self, info: dict[str, Any]) -> str:
        return f"{info['selected']:,} of {info['parameters']:,} backbone parameters by {self.source}"

    def stored(self, state: ModelState | None, context: Context) -> bool:
        """Whether the walk is in the store; a mask without one is made at once."""
        assert state is not None, "locate needs a model: the baseline comes first"
        if self.source in WITHOUT_WALK:
            return False
        return context.store.folder("importance", hash_of(self._walk_inputs(state, context))).is_dir()

    def _walk_inputs(self, state: ModelState, context: Context) -> dict[str, Any]:
        return {
            "stage": "importance",
            "settings": {k: v for k, v in asdict(self).items() if k not in MASK_SETTINGS},
            "model": replace(state, mask=None).key,
            "seed": context.seed,
            "trainer": context.walk_key,
            "data": context.fingerprint(self.split),
            **({"include_head": True} if self.include_head else {}),
        }

    def _importances(
        self, name: str, state: ModelState, context: Context
    ) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], bool]:
        inputs = self._walk_inputs(state, context)

        def make(folder: Path) -> None:
            lightning.seed_everything(context.seed, workers=True, verbose=False)
            module, batches = self._walk(name, state, context)
            found = module.importances()
            flat = {f"{loss}/{n}": tensor.contiguous() for loss, named in found.items() for n, tensor in named.items()}
            with replaced(folder / "importance.safetensors") as file:
                save_file(flat, file)
            counts = [int(v) for v in module.counts]
            write_json(
                folder / "importance.json",
                {
                    "kind": self.importance,
                    "batch_size": self.batch_size,
                    "per_sample": self.per_sample,
                    "bias_loss": self.bias_loss["criterion"],
                    "bias_loss_settings": self.bias_loss,
                    "task_loss": f"class-balanced {'BCE' if context.data.n_classes == 2 else 'CE'} ({self.class_balance})",
                    "split": self.split,
                    "n": len(context.data.rows(self.split)),
                    "batches": batches,
                    "batches_without_bias_loss": counts[2],
                },
            )

        folder, reused = context.store.obtain("importance", hash_of(inputs), make, inputs)
        found: dict[str, dict[str, Tensor]] = {"bias": {}, "task": {}}
        for key, tensor in load_file(folder / "importance.safetensors").items():
            loss, _, parameter = key.partition("/")
            found[loss][parameter] = tensor
        net = state.network()
        order = [n for n, _ in net.named_parameters()] if self.include_head else list(backbone_parameters(net))
        found = {loss: {n: named[n] for n in order} for loss, named in found.items()}
        return found, json.loads((folder / "importance.json").read_text()), reused

    def _walk(self, name: str, state: ModelState, context: Context) -> tuple[BiasMaskModule, int]:
        rows = context.data.rows(self.split)
        loader = context.data.loader(rows, self.batches, self.batch_size, context.seed, attribute=context.attribute)
        batches = len(loader)
        module = BiasMaskModule(
            state.classifier(),
            context.debiased,
            self.bias_loss,
            self.class_balance,
            context.data.rows_per_class(rows),
            self.importance,
            self.per_sample,
            batches,
            self.include_head,
        )
        trainer = context.trainer(name, max_epochs=1, logger=False, limit_val_batches=0, gradient_clip_val=None)
        with expected_warnings():
            trainer.fit(module, loader)
        if module.counts[0] == 0:
            named = " or ".join(f"{a.name} ({', '.join(a.group_names)})" for a in context.attributes)
            raise MethodError(
                f"no batch of the split `{self.split}` has a defined bias loss for attribute {named}: "
                "two groups with samples of the needed class are required; see checker.json for the counts"
            )
        return module, batches

    def _mask(
        self, state: ModelState, importances: dict[str, dict[str, Tensor]] | None, seed: int
    ) -> tuple[dict[str, Tensor], float | None]:
        like = {name: p.detach() for name, p in backbone_parameters(state.network()).items()}
        if self.source == "random":
            return weight_mask.random_mask(like, self.edit_fraction, seed, self.granularity), None
        if self.source == "ones":
            return weight_mask.ones_mask(like), None
        if self.source in ("last_layers", "first_layers"):
            return depth_mask(like, self.edit_fraction, self.source.removesuffix("_layers")), None
        assert importances is not None
        if self.source == "bias_only":
            return weight_mask.bias_only(importances["bias"], self.edit_fraction, self.granularity), None
        if self.source == "difference":
            scores = importance_score.importance_difference(importances["bias"], importances["task"])
            return weight_mask.hard_mask(scores, self.edit_fraction, self.granularity), None
        ratio = importance_score.importance_ratio(importances["bias"], importances["task"], self.ratio_epsilon)
        threshold = weight_mask.threshold_of(ratio, 100 * (1 - self.edit_fraction))
        if self.source == "reference":
            return weight_mask.reference_mask(ratio, 100 * (1 - self.edit_fraction)), threshold
        return weight_mask.hard_mask(ratio, self.edit_fraction, self.granularity), threshold

    def _describe(
        self, mask: dict[str, Tensor], threshold: float | None, about: dict[str, Any] | None, state: ModelState
    ) -> dict[str, Any]:
        tensors = [
            {
                "name": name,
                "shape": list(tensor.shape),
                "parameters": tensor.numel(),
                "selected": int(tensor.sum()),
                "density": float(tensor.float().mean()),
            }
            for name, tensor in mask.items()
        ]
        return {
            "kind": "hard",
            "source": self.source,
            "ratio_epsilon": self.ratio_epsilon if self.source in ("ratio", "reference") else None,
            "edit_fraction": self.edit_fraction,
            "granularity": self.granularity,
            "selected": sum(t["selected"] for t in tensors),
            "parameters": sum(t["parameters"] for t in tensors),
            "threshold": threshold,
            "importance": about,
            "tensors": tensors,
            "source_checkpoint": replace(state, mask=None).key,
        }
