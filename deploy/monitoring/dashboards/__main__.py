"""Write the dashboards' files: those for a Grafana of one's own, and the chart's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.monitoring.dashboards import files

ROOT: Final = Path(__file__).parents[3]
FOLDERS: Final = (ROOT / "deploy/monitoring/grafana", ROOT / "charts/windrow/files/monitoring/dashboards")


def main() -> None:
    """Write them, and remove what is no dashboard any more."""
    made = files()
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for old in set(folder.glob("*.json")) - {folder / name for name in made}:
            old.unlink()
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
