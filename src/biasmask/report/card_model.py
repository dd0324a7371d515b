"""The model of a model card: what it is, what was edited, how to load it, what it is for, and where it may fail."""

import ntpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import safe_open

from biasmask.errors import StoreError
from biasmask.report.formats import percent
from biasmask.report.metric_names import SMALL_N
from biasmask.report.provenance import stage_rows, untouched_note
from biasmask.report.run_folder import RunFolder, first_line, read_json

CHECKPOINT, DELTA = Path("checkpoints/debiased.ckpt"), "delta.safetensors"
STAGE_KEYS = (
    "stage",
    "label",
    "seconds",
    "reused",
    "epochs",
    "edited",
    "parameters",
    "largest_change",
    "changed_outside",
    "notes",
)
LOCAL_FOLDER = re.compile(r"(?<![\w.:/\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s,'\"=\]})]*)")


def card_name(run: RunFolder) -> str:
    """Method, backbone, data set and attributes, such as `tf_efficientnet_lite0, BMFT, ham10000 by age`."""
    read = run.run
    data = " by ".join(word for word in (str(read.get("dataset") or ""), " and ".join(debiased_attributes(run))) if word)
    parts = (read.get("backbone") or read.get("model_name"), read.get("label") or read.get("method"), data)
    return ", ".join(str(part) for part in parts if part) or "debiased model"


def debiased_attributes(run: RunFolder) -> list[str]:
    named = run.run.get("attributes") or ([run.attribute] if run.attribute else [])
    return [str(name) for name in named]


def model_details(run: RunFolder, text: bool) -> dict[str, Any]:
    """Architecture, size, the checkpoint it came from, and what was edited."""
    read, checkpoint = run.run, read_checkpoint(run)
    hyper = checkpoint.get("hyper_parameters") or {}
    mask, blocks = run.mask or {}, run.blocks or {}
    whole = [stage.get("parameters") for stage in run.stages if stage.get("parameters")] if text else []
    total = sum(tensor.numel() for tensor in (checkpoint.get("state_dict") or {}).values()) or max(whole, default=None)
    delta = read_delta(run)
    return {
        "backbone": read.get("backbone") or read.get("model_name"),
        "architecture": read.get("architecture"),
        "parameters": total,  # entries of all tensors, running statistics included
        "outputs": hyper.get("num_outputs"),
        "image_size": read.get("image_size"),
        "mean": hyper.get("mean"),
        "std": hyper.get("std"),
        "model_args": hyper.get("model_args") or {},
        "class_names": [str(name) for name in read.get("class_names") or []],
        "source_checkpoint": mask.get("source_checkpoint") or read.get("source_checkpoint") or delta["base"],
        "weights_before": delta["base"],
        "weights_after": delta["debiased"],
        "method": read.get("method"),
        "label": read.get("label"),
        "data_set": read.get("dataset"),
        "changed_entries": delta["changed"],
        "mask": {key: mask.get(key) for key in ("kind", "source", "edit_fraction", "selected", "parameters")} if mask else None,
        "blocks": {key: blocks.get(key) for key in ("structure", "block_size", "kept", "total")} if blocks else None,
        "stages": [
            {key: without_folders(stage.get(key)) for key in STAGE_KEYS} | {"edited_words": row.edited}
            for stage, row in zip(run.stages, stage_rows(run), strict=True)
        ],
        "untouched": untouched_note(run) or None,
        "needs_attribute": read.get("needs_attribute"),
    }


def read_checkpoint(run: RunFolder) -> dict[str, Any]:
    """The debiased checkpoint, mapped and not loaded; empty where there is none."""
    file = run.path / CHECKPOINT
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises its own classes for a file that is cut off
        raise StoreError(f"{file}: can't be read ({first_line(error)}); finish the run again") from error
    return found


def read_delta(run: RunFolder) -> dict[str, Any]:
    """SHA-256 of the weights before and after, and how many entries differ; None where no delta was written."""
    file = run.path / DELTA
    if not file.is_file():
        return {"base": None, "debiased": None, "changed": None}
    try:
        with safe_open(file, "pt") as content:
            about, names = content.metadata() or {}, list(content.keys())
            changed = sum(content.get_slice(key).get_shape()[0] for key in names if key.endswith(":index"))
    except Exception as error:
        raise StoreError(f"{file}: can't be read ({first_line(error)}); finish the run again") from error
    return {"base": about.get("base"), "debiased": about.get("debiased"), "changed": changed}


def factors(run: RunFolder) -> list[dict[str, Any]]:
    """Every attribute that figures stand for, its groups, and whether it was debiased."""
    debiased = debiased_attributes(run)
    names = list(dict.fromkeys([*debiased, *run.attributes]))
    return [{"attribute": name, "groups": run.groups(name), "debiased": name in debiased} for name in names]


def metric_settings(run: RunFolder) -> dict[str, Any]:
    """Decision thresholds with how they were chosen, and how intervals were made."""
    about = {name: value for name, value in run.threshold.items() if name not in ("rule", "split")}
    selection = read_json(run.path / "selection.json") or {}
    return {
        "thresholds": [{"model": name, "values": threshold_values(value)} for name, value in about.items()],
        "threshold_rule": run.threshold.get("rule"),
        "threshold_split": run.threshold.get("split"),
        "confidence": run.confidence,
        "n_bootstrap": run.n_bootstrap,
        "selection": [
            {"stage": stage, **{key: about.get(key) for key in ("rule", "chosen", "reason")}, "candidates": len(candidates)}
            for stage, about in selection.items()
            if isinstance(about, Mapping) and isinstance(candidates := about.get("candidates") or [], list)
        ],
    }


def threshold_values(value: Any) -> list[dict[str, Any]]:
    """One threshold, or one a class or group; their names stand beside them.

    >>> threshold_values(0.4), threshold_values({"mel": 0.2})
    ([{'of': None, 'value': 0.4}], [{'of': 'mel', 'value': 0.2}])
    """
    if isinstance(value, Mapping):
        return [{"of": str(name), "value": own} for name, own in value.items()]
    return [{"of": None, "value": value}]


def costs(run: RunFolder) -> dict[str, Any]:
    """Seconds, epochs and edited entries of the stages after the baseline."""
    own = [stage for stage in run.stages if stage.get("stage") != "baseline"]
    edited = [stage["edited"] for stage in own if stage.get("edited") is not None]
    return {
        "seconds": sum(float(stage.get("seconds") or 0) for stage in own) if own else None,
        "epochs": sum(int(stage.get("epochs") or 0) for stage in own) if own else None,
        "edited": sum(edited) if edited else None,
        "reused": [str(stage.get("stage")) for stage in own if stage.get("reused")],
    }


def intended_use(run: RunFolder, text: bool) -> dict[str, list[str]]:
    names = ", ".join(debiased_attributes(run)) or "the attribute"
    what = "sentence embeddings" if text else "predictions"
    intended = [f"Research on bias of trained models: comparing {what} before and after debiasing by {names}."]
    out = ["Decisions about persons.", "Data of another source than the test sets below, before it was evaluated there."]
    if not text:
        out.insert(0, "Clinical use: nothing here is a clearance for it.")
    return {"intended": intended, "out_of_scope": out}


def ethical_considerations(run: RunFolder, text: bool) -> list[str]:
    needs = run.run.get("needs_attribute")
    said = {
        True: "Prediction needs the sensitive attribute of each person: its user has to ask for it, and may not be allowed to.",
        False: "Prediction does not need the sensitive attribute. Training and evaluation did.",
    }
    found = [said.get(needs, "Whether prediction needs the sensitive attribute is not recorded.")]
    if text:
        found.append(
            "Association tests with word lists measure a part of the bias of an encoder; a small effect is no proof of absence."
        )
    else:
        found.append(
            "Groups are as the data set has them: an annotation, not a person's own word. Rows without a group count in no group."
        )
        found.append("A gap can fall because a group got worse; what got worse is listed above and is part of the result.")
    return found


def caveats(run: RunFolder, data: dict[str, Any], tables: list[dict[str, Any]], text: bool) -> list[str]:
    """Limits that hold for every run, then those that this run's own figures show."""
    found = [f"Intervals ({percent(run.confidence, 0)}) are of rows: they tell nothing of other seeds, training data or sites."]
    found.append(f"One run with seed {run.run.get('seed', 'not recorded')}, debiased on one data set.")
    figures = [row for table in tables for row in table["figures"]]
    few = sum(row["few"] for row in figures)
    if few:
        found.append(
            f"{few} of {len(figures)} figures rest on fewer than {SMALL_N} rows (marked few): they move when one row changes."
        )
    undefined = sum(row["after"] is not None and row["after"]["value"] is None for row in figures)
    if undefined:
        found.append(f"{undefined} of {len(figures)} figures are undefined, each with its reason; undefined is not equal.")
    cells = [cell for split in data["splits"] for cell in split["small_cells"]]
    if cells:
        minimum = data["splits"][0]["minimum_cell"]
        found.append(f"{len(cells)} group x target cells of the training splits hold fewer than {minimum} rows.")
    if not text:
        found.append("The thresholds are frozen: where the share of positives differs, rates differ too.")
    return found


def loading(run: RunFolder, text: bool) -> dict[str, Any]:
    """Python code that loads the published weights without biasmask, run in the folder of this card."""
    if text:
        folder = "debiased_hf"
        lines = [
            "from transformers import AutoModel, AutoTokenizer", "",
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")', f'encoder = AutoModel.from_pretrained("{folder}").eval()',
        ]  # fmt: skip
        return {"file": folder, "exists": (run.path / folder).is_dir(), "code": "\n".join(lines)}
    hyper = read_checkpoint(run).get("hyper_parameters") or {}
    backbone, size = str(hyper.get("backbone") or run.run.get("backbone")), run.run.get("image_size")
    arguments = {**fixed_size(backbone, size), **(hyper.get("model_args") or {})}
    outputs = int(hyper.get("num_outputs") or 1)
    extra = "".join(f", {name}={value!r}" for name, value in arguments.items())
    mean, std = hyper.get("mean"), hyper.get("std")
    score = "torch.sigmoid(net(x))[:, 0]" if outputs == 1 else "torch.softmax(net(x), dim=1)" + "[:, 1]" * (outputs == 2)
    lines = [
        "import timm", "import torch", "",
        f"net = timm.create_model({backbone!r}, num_classes={outputs}{extra}).eval()",
        'net.load_state_dict(torch.load("debiased_timm.pt", weights_only=True))', "",
        f"image = torch.rand(1, 3, {size}, {size})  # RGB, resized to {size} x {size}, in [0, 1]",
        *([f"mean, std = torch.tensor({list(mean)!r}), torch.tensor({list(std)!r})"] if mean and std else []),
        "x = (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)" if mean and std else "x = image",
        "with torch.no_grad():", f"    score = {score}",
    ]  # fmt: skip
    return {"file": "debiased_timm.pt", "exists": (run.path / "debiased_timm.pt").is_file(), "code": "\n".join(lines)}


def fixed_size(backbone: str, size: int | None) -> dict[str, Any]:
    """The argument by which architectures with a fixed input size (ViT, Swin) hear of another one."""
    config = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    return {"img_size": size} if size and config is not None and config.fixed_input_size else {}


def reproduce(run: RunFolder) -> dict[str, Any]:
    return {
        "command": without_folders(run.texts["command.txt"]) or None,
        "seed": run.run.get("seed"),
        "environment": run.texts["environment.txt"].splitlines(),
    }


def without_folders(value: Any) -> Any:
    """Text, or a list of it, in which the absolute paths of this machine are cut to their last part.

    >>> without_folders("paths.data_dir=/home/me/data csv=~/x.csv lr=1/2")
    'paths.data_dir=.../data csv=.../x.csv lr=1/2'
    """
    if isinstance(value, list):
        return [without_folders(part) for part in value]
    if not isinstance(value, str):
        return value
    return LOCAL_FOLDER.sub(lambda found: ".../" + ntpath.basename(found[0].rstrip("/\\")), value)
