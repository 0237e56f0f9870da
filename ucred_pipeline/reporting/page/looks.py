"""The templates and the files that go with them, which are in the package and come from nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ucred_pipeline.reporting.mint_rate import percent
from ucred_pipeline.reporting.page import words
from ucred_pipeline.reporting.wording import at, iso, lasting

_HERE: Final = Path(__file__).parent
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        """What changes when the file does."""
        return sha256(self.content).hexdigest()[:12]


class Looks:
    """Renders pages, and has the files that they name."""

    def __init__(self, dagster_url: str) -> None:
        self._dagster_url = dagster_url

    @cached_property
    def files(self) -> dict[str, StaticFile]:
        """The files by their names."""
        return {
            path.name: StaticFile(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted((_HERE / "static").iterdir())
        }

    def page(self, template: str, **told: Any) -> str:
        """Render a page; what it is told is escaped."""
        return self._environment.get_template(template).render(**told)

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "ago": words.ago,
            "age": words.age,
            "at": at,
            "iso": iso,
            "minute": words.minute,
            "shown": words.shown,
            "ucred": words.ucred,
            "words": words.words,
            "latency": words.latency,
            "lasting": lasting,
            "percent": percent,
        }
        environment.globals |= {"static": self._static, "dagster_run": self._dagster_run}
        return environment

    def _static(self, name: str) -> str:
        return f"/static/{name}?v={self.files[name].version}"

    def _dagster_run(self, run_id: str) -> str:
        return f"{self._dagster_url}/runs/{run_id}"
