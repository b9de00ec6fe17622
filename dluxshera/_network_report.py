"""What the report of a training shows, read from its run directory."""

from pathlib import Path

from .config.network_runs import open_network_run
from .plotting.network_report import training_report


def network_report(run_dir: Path, notice: str = "") -> str:
    """HTML of the report of a training; `notice` is a word on what is damaged."""
    run = open_network_run(run_dir)
    source = Path(run.meta["network"]["scan"]["source"]).name
    settings = {"training": run.meta["network"]["settings"]}
    settings |= {key: run.meta[key] for key in ("environment", "git") if run.meta.get(key) is not None}
    title = f"Network trained on {source}"
    return training_report(title, run.summary["run_id"], run.summary, run.history(), settings, notice)
