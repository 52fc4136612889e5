"""Write the dashboards' files, those for a Grafana of one's own and the chart's, and the list of their panels in the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.monitoring.dashboards import files, listed

ROOT: Final = Path(__file__).parents[3]
FOLDERS: Final = (ROOT / "deploy/monitoring/grafana", ROOT / "charts/windrow/files/monitoring/dashboards")

PAGE: Final = ROOT / "docs/dashboards.md"
BEGIN: Final = "<!-- Made by `python -m deploy.monitoring.dashboards`, from here to the end. -->\n\n"


def page(text: str) -> str:
    """The page with the list at its end made anew; raises ValueError when it does not say where that begins."""
    return text[: text.index(BEGIN)] + BEGIN + listed().rstrip() + "\n"


def main() -> None:
    """Write them, and remove what is no dashboard any more."""
    made = files()
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for old in set(folder.glob("*.json")) - {folder / name for name in made}:
            old.unlink()
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
