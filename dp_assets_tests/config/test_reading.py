"""From files to plain values: syntax errors with their place, and YAML that leaves labels alone."""

from pathlib import Path

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.reading import read_document


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.json", b'{\n "dataset": {"images": }\n}', "line 2, column 24"),
        ("a.json", b'{"dataset": {},', "line 1, column"),
        ("a.json", b"", "line 1, column 1"),
        ("a.yaml", b"dataset:\n  images: [DNA\n", "line 3, column 1"),
        ("a.yml", b"dataset:\n\timages: 1\n", "line 2, column 1"),
        ("a.yaml", b"a: *nowhere", "line 1, column 4"),
        ("a.yaml", b"a: !!python/object:os.system x", "line 1, column 4"),
    ],
)
def test_syntax_error_names_line_and_column(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(path)
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"{path}: {place}")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.json", b"[1, 2]", "a list"),
        ("a.yaml", b"# nothing but a comment\n", "nothing"),
        ("a.json", b'{"a": "\xff"}', "byte 7"),
        ("a.yaml", b"a: \x00", "not YAML"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"a": ' + b"9" * 5000 + b"}", "not usable JSON"),
    ],
)
def test_other_unusable_files(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_document(path)
    assert what in caught.value.problems[0].what
    assert str(path) in caught.value.problems[0].where


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        read_document(tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_document(tmp_path / "b.json")


def test_yaml_takes_only_numbers_and_true_and_false_for_other_than_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "words: [no, on, yes, 012, 2020-01-01, 12:30, 0x10, 1_000, .nan, '1']\n"
        "numbers: [1e-3, 5, -2.5, .5, 1., +7]\n"
        "truth: [true, False]\n"
        "nothing: [null, ~, ]\n"
    )
    assert read_document(path).data == {
        "words": ["no", "on", "yes", "012", "2020-01-01", "12:30", "0x10", "1_000", ".nan", "1"],
        "numbers": [0.001, 5, -2.5, 0.5, 1.0, 7],
        "truth": [True, False],
        "nothing": [None, None],
    }


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", '{"x": {"k": 1, "k": 2}}'), ("a.yaml", "x:\n  k: 1\n  k: 2\n")]
)
def test_repeated_key_is_pointed_out_and_the_last_one_counts(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    document = read_document(path)
    assert document.data == {"x": {"k": 2}}
    assert [warning.where for warning in document.warnings] == [f"{path}: k"]


def test_byte_order_mark_and_yaml_merge_keys_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert read_document(path).data["b"] == {"x": 1, "y": 3}
