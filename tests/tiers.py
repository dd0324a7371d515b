"""Which tests are slow, and which of those are repeats that CI leaves to `make test-thorough`.

`make test` (CI): all but these repeats. `make test-fast`: units, and a run of each kind, without the slow ones: runs from end to
end, trainings and sweeps. `make test-thorough`: the repeats, before a release.
"""

import re

import pytest

# Files of runs from end to end.
SLOW = (
    *("contracts/test_many_classes", "gpu/test_gpu_checklist", "pipeline/test_architectures", "pipeline/test_bias_map"),
    *("pipeline/test_edit_locality_of_a_run", "pipeline/test_extra_tests", "pipeline/test_fine_tuning_rivals"),
    *("pipeline/test_interrupted", "pipeline/test_layer_freezing", "pipeline/test_official_layouts"),
    *("pipeline/test_prepared_runs", "pipeline/test_prepared_texts", "pipeline/test_prune_vit", "pipeline/test_selection"),
    "pipeline/test_sweeps",
    *("pipeline/test_text_projection", "pipeline/test_thresholds", "reliability/test_privacy", "test_api", "test_api_text"),
    *("pipeline/test_fair_prune", "pipeline/test_swift", "pipeline/test_refit_head", "pipeline/test_plan_and_times"),
)
SLOW_TESTS = (
    r"contracts/test_every_method\.py::.*\[(?!bmft\]|dfr\]|none\]|thresholds\])",
    r"pipeline/test_text_runs\.py::.*(?<!\[block_pruning\])(?<!\[debias_only\])(?<!\[inlp\])$",
    r"reliability/test_determinism",
)
# What is repeated -> where the same code is run for CI.
THOROUGH = {
    r"cli/test_entry_points\.py::test_train_then_eval": "src/train.py, src/eval.py and the same figures on real data, by .ci/run",
    r"contracts/test_every_method\.py::.*\[(bias_only|bmft_|freeze_late|full_ft_|ones_mask|published|random_|swift_|head_)":
        "the methods that these give other settings to",
    r"contracts/test_many_classes\.py::.*\[finished[123]\]": "[finished0]",
    r"docs/test_recipes_followed\.py::.*\[(add_rival|add_backbone|add_metric|add_attribute|add_text|sel)":
        "add_method, own_data; the commands of all pages by docs/test_commands.py",
    r"gpu/test_gpu_checklist\.py::.*\[cpu\]": "the same runs in the other files; the checklist is for machines with a GPU",
    r"metrics/test_interval_coverage\.py::test_intervals_of_many":
        "test_intervals_of_tables; scripts/interval_coverage.py counts 1,000",
    r"pipeline/test_edit_locality_of_a_run\.py::.*\[(test_vit-(Adam|SGD)|test_resnet-AdamW)\]":
        "one optimizer for each of two nets",
    r"pipeline/test_fine_tuning_rivals\.py::test_three_classes.*-site\]": "[site,sex]",
    r"pipeline/test_four_processes": "test_two_processes",
    r"pipeline/test_interrupted\.py::.*(locate-|repair-|baseline-SIGKILL|impair-SIGINT)": "Ctrl-C in baseline, a kill in impair",
    r"pipeline/test_layer_freezing\.py::.*test_vit": "test_resnet",
    r"pipeline/test_official_layouts\.py::.*\[(sex|skin_tone_)": "age and skin tone",
    r"pipeline/test_prune_vit\.py::test_what_is_cut.*\[(?!block\])": "[block]",
    r"pipeline/test_selection\.py::test_every_rule.*\[(?!pareto|smallest)":
        "pareto and smallest_gap; the rules by themselves in methods/",
    r"pipeline/test_sweeps\.py::test_a_change.*\[(data|debias\.bias|debias\.impair|callbacks)": "the other changes",
    r"pipeline/test_sweep_end\.py::test_a_real_sweep": "test_sweep_goes_on; test_a_failed_job_of_a_sweep_is_named",
    r"pipeline/test_sweeps\.py::test_multirun": "test_launchers, test_sweep_goes_on",
    r"pipeline/test_text_bad_input\.py::test_a_run_that_is_ended.*SIGINT": "SIGKILL",
    r"pipeline/test_text_runs\.py::test_each_method.*\[(head_pruning|block_pruning_unf|random_(heads|blocks|component))":
        "the same stages",
    r"reliability/test_determinism\.py::.*\[(adapt|dfr|fairprune|freeze|gradient|group|random_blocks|text/(random|sentence))":
        "bmft, swift, thresholds, text/block_pruning, text/debias_only; CI's real-data runs are made twice",
    r"reliability/test_random_kills": "test_interrupted; benchmarks/kill_runs.py kills fifty times",
    r"reliability/test_small_disk\.py::.*\[text\]": "[image]; test_full_disk",
}  # fmt: skip


def mark(items: list[pytest.Item]) -> None:
    """Give each collected test the marks of its tier."""
    files = {f"tests/{name}.py" for name in SLOW}
    slow, thorough = re.compile("|".join(SLOW_TESTS)), re.compile("|".join(THOROUGH))
    for item in items:
        repeated = thorough.search(item.nodeid)
        if repeated or item.nodeid.partition("::")[0] in files or slow.search(item.nodeid):
            item.add_marker(pytest.mark.slow)
        if repeated:
            item.add_marker(pytest.mark.thorough)
