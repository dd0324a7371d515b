"""Evaluate any Hugging Face encoder, or a text run: its debiased encoder beside the base model that it came from."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from biasmask.errors import BiasmaskError, CheckpointError
from biasmask.files import write_json
from biasmask.models.text_encoder import find_encoder
from biasmask.pipeline import run_folder, setup
from biasmask.pipeline.store import ArtefactStore
from biasmask.pipeline.text_judging import TextJudge
from biasmask.pipeline.text_state import TextState, read_masks, save_masks, save_projection
from biasmask.report.tables import write_metrics_csv
from biasmask.report.terminal import tell
from biasmask.report.text_report import write_text_report
from biasmask.report.text_terminal import print_text_summary


def evaluate_text(config: DictConfig) -> None:
    """Judge, report and print; nothing of the run is needed but its folder."""
    hydra = HydraConfig.get()
    setup.set_threads(config.threads, sweep=False)
    run_dir, path, console = Path(hydra.runtime.output_dir), Path(config.ckpt_path), Console()
    with run_folder.claimed(run_dir, run_folder.config_text(config)):
        run_folder.write_provenance(run_dir, list(hydra.overrides.task), "src/eval.py")
        about = run_folder.read_json(path / "run.json") if (path / "run.json").is_file() else {}
        states = load_states(path, about, console)
        attribute = config.attribute or about.get("attribute") or "gender"
        make_trainer, _ = setup.trainer_factory(config.trainer)
        judge = TextJudge(
            settings_of(config, about),
            attribute,
            make_trainer().strategy.root_device,
            ArtefactStore(Path(config.paths.store_dir), on_wait=console.print),
            config.progress,
        )
        judged = {name: judge.judge(state, name, keep=name == "base") for name, state in states.items()}
        write_json(run_dir / "metrics.json", judge.compare(judged))
        write_json(run_dir / "run.json", describe(states, about, attribute, judge.settings))
        save_masks(run_dir, list(states.values())[-1])
        save_projection(run_dir, list(states.values())[-1])
        write_metrics_csv(run_dir)
        write_text_report(run_dir)
        console.print(f"report: {run_dir / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
        print_text_summary(run_dir, console)


def load_states(path: Path, about: dict[str, Any], console: Console) -> dict[str, TextState]:
    """The models to judge: of a run both, of a folder its own.

    Raises:
        CheckpointError: a run without a debiased encoder, or a folder that can't be loaded.
    """
    if not about:
        return {"base": TextState.load(str(path))}
    folder = path / "debiased_hf"
    states: dict[str, TextState] = {}
    try:
        base = TextState.load(find_encoder(**about["model_source"]))
        if base.key == about["source_checkpoint"]:
            states["base"] = base
        else:
            tell(console, "base model", f"{base.name} isn't the one of the run any more, and is left out")
    except BiasmaskError as error:
        tell(console, "base model", str(error))
    if about.get("final") == "debiased":
        if not folder.is_dir():
            raise CheckpointError(f"{path} holds no debiased_hf: the run wasn't finished; start it again")
        states["debiased"] = read_masks(path, TextState.load(str(folder)))  # with its projection, which lies in that folder
    if not states:
        raise CheckpointError(f"{path} holds no model to evaluate")
    return states


def settings_of(config: DictConfig, about: dict[str, Any]) -> dict[str, Any]:
    """How to judge: as typed, else as the run was, else as text_metrics says."""
    settings: dict[str, Any] = OmegaConf.to_container(config.text_metrics, resolve=True)  # type: ignore[assignment]
    typed = {o.lstrip("+").partition("=")[0].removeprefix("text_metrics.") for o in HydraConfig.get().overrides.task}
    stored = {name: value for name, value in about.get("metrics", {}).items() if name in settings and name not in typed}
    for name in ("seat_folder", "probe_table", "probe_folder", "benchmark_folder"):  # a path of another machine
        if stored.get(name) and not Path(stored[name]).exists():
            del stored[name]
    return {**settings, **stored}


def describe(states: dict[str, TextState], about: dict[str, Any], attribute: str, settings: dict[str, Any]) -> dict[str, Any]:
    state = list(states.values())[-1]
    own = {
        "family": "text",
        "experiment": "eval",
        "method": about.get("method", "evaluation"),
        "label": about.get("label", "evaluation"),
        "attribute": attribute,
        "model_name": state.name,
        "architecture": state.model_class,
        "layers": state.config.get("num_hidden_layers") or state.config.get("n_layers"),
        "heads": state.config.get("num_attention_heads") or state.config.get("n_heads"),
        "hidden_size": state.config.get("hidden_size") or state.config.get("dim"),
        "pooling": settings["pooling"],
        "final": list(states)[-1],
    }
    return {**about, **own, "model_name": about.get("model_name", state.name)}
