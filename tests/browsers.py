"""Where the browser is that tests marked `browser` drive; None if there is none."""

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, NAMES)), None)

if __name__ == "__main__":  # for .ci/run
    sys.exit(0 if BROWSER else 1)
