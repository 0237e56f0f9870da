"""Documents as YAML that people can read: keys in their order, texts of several lines as they are."""

from typing import Any, Final

import yaml

_WIDTH: Final = 116


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(document: Any) -> str:
    """Write a document."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True))
