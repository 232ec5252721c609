"""How is the code of another folder served by an interpreter that was started in this one?

python tests/upgrade/serve_release.py <folder>
"""

import os
import runpy
import sys

if __name__ == "__main__":
    here, folder = os.getcwd(), sys.argv.pop(1)
    os.chdir(folder)
    sys.path[:] = [folder, *(path for path in sys.path if path not in ("", here))]
    runpy.run_module("lexicon.serve", run_name="__main__", alter_sys=True)
