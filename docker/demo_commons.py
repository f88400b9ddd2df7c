"""Serve the demo's small Commons to the other containers of compose.demo.yaml, and put its WIT file where they see it.

``python -m pipelines demo-commons`` listens on loopback only, as it should on a person's machine; here all interfaces
are those of a network between containers.
"""

import sys
from pathlib import Path

from pipelines.demo.catalogue import make_catalogue
from pipelines.demo.server import serve

PORT = 8765


def main(folder: Path) -> None:
    """Make the catalogue in a folder if it is not there, and serve it until the container is stopped."""
    serve(make_catalogue(folder).folder, host="0.0.0.0", port=PORT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
