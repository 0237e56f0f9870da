"""Writes the files anew: `python -m deploy`, or `make deploy-files`.

With a folder they are written there; UCRED_CONFIG names the `ucred.toml` whose limits they get.
"""

import os
import sys
from pathlib import Path

from deploy.files import files
from ucred_pipeline.settings import load_rules

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
for name, text in files(load_rules(os.environ.get("UCRED_CONFIG"))).items():
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8", newline="\n")
    print(place)
