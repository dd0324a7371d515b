"""data.store_url: a machine that has the table and no image goes on from the stages that were made from images."""

import shutil
from pathlib import Path

from biasmask.data.own_table import own_table
from biasmask.data.pixel_shards import publish
from biasmask.data.pixel_store import open_pixel_store
from tests.conftest import Runner, UserTable, net_writer


def test_stages_made_from_images_serve_a_run_on_published_pixels(runner: Runner, user_table: UserTable, tmp_path: Path) -> None:
    own = [word for word in user_table.overrides if not word.startswith("debias.")]
    words = (*own, f"model.ckpt_path={net_writer(tmp_path)()}", "debias=adapt_norm", "debias.impair.epochs=1")
    first = runner.train(*words, store=tmp_path / "store")
    table = own_table(str(user_table.path), target="target").load()
    publish(open_pixel_store(table, 32, tmp_path / "pixels"), table, f"file://{tmp_path}/published")
    shutil.rmtree(user_table.path.parent / "images")
    again = runner.train(*words, f"data.store_url=file://{tmp_path}/published", store=tmp_path / "store")
    assert all(record["reused"] for record in again.read("stages.json"))
    assert again.figures == first.figures and again.read("checker.json") == first.read("checker.json")
    assert runner.evaluate(again.folder).figures == first.figures
