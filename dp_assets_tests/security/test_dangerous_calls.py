"""No module of dp_assets runs what a file says, except where it is written down here."""

from pathlib import Path

import pytest

import dp_assets
from dp_assets_tests.security.dangerous_calls import Offence, offences

ROOT = Path(dp_assets.__file__).parent
# Where it is meant, and why it is safe.
MEANT = {
    # Builds plain values only: every global is a stand-in or refused (interchange/test_plain_pickle.py).
    "interchange/plain_pickle.py": {"pickle"},
    # Writes one pickle, for readers of DeepProfiler's files; reads with plain_pickle.
    "interchange/legacy_npz.py": {"pickle"},
    # Plug-ins are code of the project.
    "networks/plugins.py": {"exec_module"},
    "orchestration/automation/own_notice.py": {"exec_module"},
}
PLANTED = {
    "import pickle": "pickle",
    "def f():\n    from joblib import load": "joblib",
    "import shelve as s": "shelve",
    "import marshal, os": "marshal",
    "import numpy as np\nnp.load(p)": "numpy.load",
    "from numpy import load as read\nread(p)": "numpy.load",
    "import numpy\nnumpy.load(p, allow_pickle=True)": "numpy.load",
    "import numpy\nnumpy.lib.format.read_array(p, allow_pickle=x)": "numpy.lib.format.read_array",
    "import yaml\nyaml.load(t)": "yaml.load",
    "import yaml\nyaml.load(t, Loader=yaml.FullLoader)": "yaml.load",
    "import yaml\nclass L(yaml.Loader): pass\nyaml.load(t, L)": "yaml.load",
    "import yaml\nyaml.unsafe_load(t)": "yaml.unsafe_load",
    "eval(t)": "eval",
    "exec(t)": "exec",
    "compile(t, 'a', 'exec')": "compile",
    "import subprocess\nsubprocess.run(t, shell=True)": "subprocess.run",
    "import os\nos.system(t)": "os.system",
    "from tempfile import mktemp\nmktemp()": "tempfile.mktemp",
    "import requests\nrequests.get(u)": "requests.get",
    "import requests\nrequests.Session().get(u, verify=False)": "?.get",
    "import urllib.request\nurllib.request.urlopen(u)": "urllib.request.urlopen",
    "import tarfile\ntarfile.open(p).extractall(f)": "?.extractall",
    "import zipfile\nwith zipfile.ZipFile(p) as z:\n    z.extractall(f)": "z.extractall",
    "with tarfile.open(p) as t:\n    t.extract(m)": "t.extract",
    "import shutil\nshutil.unpack_archive(p)": "shutil.unpack_archive",
    "import pandas as pd\npd.read_pickle(p)": "pandas.read_pickle",
    "import keras\nkeras.saving.load_model(p)": "keras.saving.load_model",
    "from keras.models import load_model as m\nm(p, safe_mode=False)": "keras.models.load_model",
    "import keras\nkeras.config.enable_unsafe_deserialization()": (
        "keras.config.enable_unsafe_deserialization"
    ),
    "import hashlib\nhashlib.md5(b'')": "hashlib.md5",
    "import jinja2\njinja2.Environment(loader=x)": "jinja2.Environment",
    "loader.exec_module(m)": "exec_module",
}
HARMLESS = [
    "import numpy as np\nnp.load(p, allow_pickle=False)",
    "import yaml\nclass L(yaml.SafeLoader): pass\nyaml.load(t, L)\nyaml.safe_load(t)",
    "import re\nre.compile(t)\nmodel.compile(jit_compile=True)",
    "import subprocess\nsubprocess.run([t])",
    "import requests\nrequests.get(u, timeout=3)",
    "import tarfile\ntarfile.open(p).extractall(f, filter='data')",
    "series.str.extract('(a)')",
    "import keras\nkeras.saving.load_model(p, safe_mode=True)",
    "import hashlib\nhashlib.sha256(b'')",
]


@pytest.mark.parametrize("source", PLANTED)
def test_planted_offence_is_found(source: str) -> None:
    assert [offence.name for offence in offences(source)] == [PLANTED[source]]


@pytest.mark.parametrize("source", HARMLESS)
def test_harmless_call_is_left_alone(source: str) -> None:
    assert offences(source) == []


def test_package_holds_what_is_meant_and_nothing_else() -> None:
    found: dict[str, list[Offence]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if there := offences(path.read_text(encoding="utf-8")):
            found[path.relative_to(ROOT).as_posix()] = there
    unmeant = {
        f"{name}:{offence.line}": f"{offence.name}: {offence.why}"
        for name, there in found.items()
        for offence in there
        if offence.name not in MEANT.get(name, set())
    }
    assert unmeant == {}
    # an exception that nothing needs any more is taken out
    assert {name: {offence.name for offence in there} for name, there in found.items()} == MEANT
