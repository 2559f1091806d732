"""Finds calls in Python source that run what a file says, or trust what they should not."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

# Modules that run code while they read, by what is forbidden of them; "" is the import itself.
UNPICKLERS = ("pickle", "_pickle", "cPickle", "marshal", "shelve", "joblib", "dill", "cloudpickle")
FORBIDDEN = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes text into code",
    "__import__": "imports what a value names",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "subprocess.getoutput": "runs a shell",
    "subprocess.getstatusoutput": "runs a shell",
    "tempfile.mktemp": "the name may be taken by somebody else",
    "hashlib.md5": "no safe digest",
    "hashlib.sha1": "no safe digest",
    "pandas.read_pickle": "runs code of the file",
    "torch.load": "runs code of the file",
    "yaml.unsafe_load": "runs code of the file",
    "yaml.full_load": "makes objects that the file names",
    "keras.config.enable_unsafe_deserialization": "lets model files run code",
    "keras.saving.load_weights": "use weight_files",
    "shutil.unpack_archive": "follows names out of the folder",
    "urllib.request.urlopen": "use requests with a timeout",
    "urllib.request.urlretrieve": "use requests with a timeout",
    "ssl._create_unverified_context": "trusts any server",
}
SAFE_LOADERS = ("SafeLoader", "CSafeLoader")
REQUESTS = ("get", "post", "put", "patch", "head", "delete", "options", "request")


@dataclass(frozen=True)
class Offence:
    """A forbidden call: its line, name and why."""

    line: int
    name: str
    why: str


@dataclass
class _Names(ast.NodeVisitor):
    """What names of a module stand for: `np` -> numpy, `load` -> numpy.load."""

    meaning: dict[str, str] = field(default_factory=dict)
    safe_loaders: set[str] = field(default_factory=lambda: set(SAFE_LOADERS))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.meaning[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.meaning[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(self.of(base).rpartition(".")[2] in self.safe_loaders for base in node.bases):
            self.safe_loaders.add(node.name)
        self.generic_visit(node)

    def of(self, node: ast.expr) -> str:
        """The dotted name of an expression, "" when it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ".".join(["?", *reversed(parts)]) if parts else ""
        return ".".join([self.meaning.get(node.id, node.id), *reversed(parts)])


def offences(source: str) -> list[Offence]:
    """Everything forbidden in a module, by line."""
    tree = ast.parse(source)
    names = _Names()
    names.visit(tree)
    found = [offence for node in ast.walk(tree) for offence in _of_node(node, names)]
    return sorted(found, key=lambda offence: offence.line)


def _of_node(node: ast.AST, names: _Names) -> Iterator[Offence]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] in UNPICKLERS:
                yield Offence(node.lineno, alias.name, "reading its files runs code")
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
        yield Offence(node.lineno, str(node.module), "reading its files runs code")
    elif isinstance(node, ast.Call):
        yield from _of_call(node, names)
    elif isinstance(node, ast.Attribute) and node.attr == "exec_module":
        yield Offence(node.lineno, "exec_module", "runs a file as code")


def _of_call(node: ast.Call, names: _Names) -> Iterator[Offence]:
    name = names.of(node.func)
    last = name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in node.keywords}

    def offence(why: str) -> Offence:
        return Offence(node.lineno, name, why)

    if name in FORBIDDEN:
        yield offence(FORBIDDEN[name])
    if "shell" in given and not _is(given["shell"], False):
        yield offence("shell=True runs a shell")
    if "allow_pickle" in given and not _is(given["allow_pickle"], False):
        yield offence("allow_pickle has to be False")
    if name == "numpy.load" and "allow_pickle" not in given:
        yield offence("allow_pickle=False has to be said")
    if "verify" in given and not _is(given["verify"], True):
        yield offence("trusts any server")
    if name in ("yaml.load", "yaml.load_all"):
        loaders = [given.get("Loader"), *node.args[1:2]]
        if not any(x is not None and names.of(x).rpartition(".")[2] in names.safe_loaders for x in loaders):
            yield offence("only a SafeLoader builds nothing but plain values")
    if last in REQUESTS and name.startswith("requests.") and "timeout" not in given:
        yield offence("waits for ever without a timeout")
    if last == "load_model" and not _is(given.get("safe_mode"), True):
        yield offence("safe_mode=True has to be said")
    if last in ("extractall", "extract") and "filter" not in given and _may_be_archive(name, node, given):
        yield offence("archives may lead out of the folder")
    if last == "Environment" and name.startswith("jinja2") and not _is(given.get("autoescape"), True):
        yield offence("autoescape=True has to be said")


def _may_be_archive(name: str, node: ast.Call, given: dict[str | None, ast.expr]) -> bool:
    """Whether an `extract` may be that of an archive; that of pandas' `.str` takes a pattern."""
    return not name.endswith(".str.extract") and "expand" not in given


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
