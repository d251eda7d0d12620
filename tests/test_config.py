import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opdbench.config import BoardConfig, Decoding, load_board, template, write_template
from opdbench.config.lines import key_lines, nearest_line
from opdbench.errors import ConfigError, PluginError
from opdbench.method import Sampling

ROOT = Path(__file__).parents[1]
BOARD = (Path(__file__).parent / "golden" / "board.toml").read_text()


def line_of(text: str, start: str, nth: int = 0) -> int:
    return [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start)][nth]


def load(tmp_path: Path, *changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> BoardConfig:
    text = BOARD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "board.toml").write_text(text)
    return load_board(tmp_path, overrides)


def refusal(tmp_path: Path, *changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *changes, overrides=overrides)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_the_template_is_the_lab_board() -> None:
    assert template() == (ROOT / "leaderboards" / "lab" / "board.toml").read_text()


def test_every_board_here_loads() -> None:
    for file in (ROOT / "leaderboards").glob("*/board.toml"):
        board = load_board(file.parent)
        assert board.path == file
        assert board.directory == file.parent == load_board(file).directory


def test_init_writes_the_template_once(tmp_path: Path) -> None:
    file = write_template(tmp_path / "new" / "board")
    assert file.read_text() == template()
    assert load_board(file.parent).name == "lab"
    with pytest.raises(ConfigError, match="exists already"):
        write_template(file.parent)
    with pytest.raises(PluginError, match="Did you mean 'lab'"):
        write_template(tmp_path / "other", "labb")


def test_a_misspelt_key_is_named_with_its_line(tmp_path: Path) -> None:
    line = line_of(BOARD, "method =")
    row = sum(part.startswith("[[rows]]") for part in BOARD.splitlines()[:line]) - 1
    message = refusal(tmp_path, ('\nmethod = "opd"', '\nmehtod = "opd"'))
    assert message == f"board.toml:{line}: rows[{row}].mehtod: unknown key. Did you mean 'method'?"


@pytest.mark.parametrize(
    ("old", "new", "start", "message"),
    [
        ("schema = 1", "schema = 2", "schema", "schema: schema 2 is not 1"),
        ('axis = "flops"', 'axis = "flop"', "axis", "'flop' is not one of gpu_hours, flops, tokens, steps. Did"),
        ("limit = ", "limit = -", "limit", "budget.limit: input should be greater than 0"),
        ("fractions = [0.25, ", "fractions = [0.75, ", "fractions", "budget.fractions: [0.75, 0.5, 0.75, 1.0] must"),
        ("0.75, 1.0]", "0.75]", "fractions", "end in 1.0"),
        ("fractions = [0.25", "fractions = [0.0", "fractions", "lie above 0"),
        ("seeds = [0, 1, 2]", "seeds = [0, 1, 0]", "seeds", "seeds[2]: 0 is there twice"),
        ("seeds = [0, 1, 2]", "seeds = []", "seeds", "seeds: "),
        ("pass_k = [8]", "pass_k = [9]", "pass_k", "evaluation.pass_k: pass@9 needs"),
        ("checkpoint_k = 4", "checkpoint_k = 40", "checkpoint_k", "evaluation.checkpoint_k: 40 exceeds k = 8"),
        ('baseline = "student"', 'baseline = "studnet"', "baseline", "no row 'studnet'. Did you mean 'student'?"),
        ("learning_rate", "learning_rte", "learning_rte", "train.learning_rte: unknown key. Did you mean"),
        ('pool = "test"', 'pool = "tset"', "pool", "Did you mean 'test'?"),
        ("[models.teacher]\n", "[models.teacher]\nrevison = 1\n", "revison", "models.teacher.revison: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, start: str, message: str) -> None:
    said = refusal(tmp_path, (old, new))
    text = (tmp_path / "board.toml").read_text()
    assert message in said
    assert said.splitlines()[-1].startswith(f"board.toml:{line_of(text, start)}: ")


TRAINED = '\nmethod = "opd"          # trainer defaults to "torch" when a method is named\n'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('id = "a"', "names neither model"),
        ('id = "a"\nstudent = "student"', "trains nothing"),
        ('id = "a"\nmodel = "student"\nmethod = "opd"', "remove model or method"),
        ('id = "a"\nmodel = "student"\ntrainer = "expo"', "remove model or trainer"),
        ('id = "a"\nmodel = "self"', "no model 'self'"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\nteacher = "taecher"', "teacher: no model 'taecher'. Did you"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\nteachers = { math = "x" }', "teachers.math: no model 'x'"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\nlimit = 5', "rows of an equal budget"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\ntrain = { lr = 1 }', "train.lr: unknown key"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\nconfig = { a = nan }', "config: only text, finite numbers"),
        ('id = "a"\nmethod = "opd"\nstudent = "student"\nconfig = { a = 1979-05-27 }', "config: only text"),
        ('id = "a/b"\nmodel = "student"', "id: string should match pattern"),
        ('id = "student"\nmodel = "student"', "id: 'student' is there twice"),
    ],
)
def test_rows_that_cannot_run_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "board.toml").write_text(f"{BOARD}\n[[rows]]\n{rows}\n")
    with pytest.raises(ConfigError) as caught:
        load_board(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/board.toml:")


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, ("limit =", "limt ="), ('pool = "test"', 'pool = "x"'))
    assert len(message.splitlines()) == 3


def test_broken_toml_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"board\.toml does not exist; `opdbench init DIR` writes one"):
        load_board(tmp_path)
    assert "board.toml:3: this is not TOML" in refusal(tmp_path, ("title =", "title"))
    (tmp_path / "board.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_board(tmp_path)


def test_overrides_are_toml_and_go_by_row_id(tmp_path: Path) -> None:
    sets = ("rows.opd.config.discount=0.9", "budget.axis=tokens", "seeds=[5]", "rows.0.title=First", "budget.limit=1e6")
    board = load(tmp_path, overrides=sets)
    assert board.row("opd").config == {"discount": 0.9}
    assert (board.budget.axis, board.seeds, board.rows[0].title, board.budget.limit) == ("tokens", (5,), "First", 1e6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.axis=tokns", "--set budget.axis=tokns: budget.axis: 'tokns' is not one of"),
        ("protcol=x", "--set protcol=x: protcol: unknown key. Did you mean 'protocol'?"),
        ("budget", "write KEY=VALUE"),
        ("budget..limit=1", "write KEY=VALUE"),
        ("rows.nope.title=1", "there is no 'nope'; there are student"),
        ("title.x=1", "lies inside a value"),
        ("evaluation.kk=1", "--set evaluation.kk=1: evaluation.kk: unknown key. Did you mean 'k'?"),
    ],
)
def test_wrong_overrides_are_named(tmp_path: Path, override: str, message: str) -> None:
    assert message in refusal(tmp_path, overrides=(override,))


def test_decoding_is_protocol_then_task_then_row(tmp_path: Path) -> None:
    board = load(tmp_path, overrides=("evaluation.per_task.lab_code={max_tokens = 9, top_k = 3}",))
    assert board.evaluation.sampling("lab_add") == Sampling(1.0, 1.0, 0, 64)
    assert board.evaluation.sampling("lab_code") == Sampling(1.0, 1.0, 3, 9)
    assert board.evaluation.sampling("lab_code", Decoding(top_k=0, temperature=0.0)) == Sampling(0.0, 1.0, 0, 9)
    assert "this task is not evaluated" in refusal(tmp_path, overrides=("evaluation.per_task.lab_kode={top_k = 3}",))


def test_as_published_rows_have_their_own_limit(tmp_path: Path) -> None:
    board = load(tmp_path, overrides=("budget.mode=as-published", "budget.axis=steps", "rows.opd.limit=200"))
    assert board.budget_of(board.row("opd")).limit == 200
    assert board.budget_of(board.row("student")).limit == board.budget.limit


def test_the_resolved_board_is_json_and_loads_again(tmp_path: Path) -> None:
    board = load(tmp_path)
    data = board.model_dump(mode="json")
    assert data["schema"] == 1
    again = BoardConfig.model_validate(data)
    assert again.model_dump() == board.model_dump()
    assert again.directory == Path()


def test_boards_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).name = "x"  # type: ignore[misc]


# ------------------------------------------------------------------------------------------- line numbers

ODD = """\
a = 1
"b c".'d.e' = [ # [
  "]",
  { x = 1 },
]
f = '''
g = 2
'''
h = \"\"\"x\\\"\"\"
i = 3
\"\"\"

[ t . "u v" ] # ]
j = { k = "}" }
[[r]]
[r.s]
k = "#"
[[r]]
[[r.q]]
l = 1
m.n = 2
"""


def test_lines_of_an_odd_but_valid_text() -> None:
    tomllib.loads(ODD)
    lines = key_lines(ODD)
    expected = {
        ("a",): 1,
        ("b c", "d.e"): 2,
        ("f",): 6,
        ("h",): 9,
        ("t", "u v"): 13,
        ("t", "u v", "j"): 14,
        ("r", 0): 15,
        ("r", 0, "s", "k"): 17,
        ("r", 1): 18,
        ("r", 1, "q", 0, "l"): 20,
        ("r", 1, "q", 0, "m", "n"): 21,
    }
    assert {location: lines.get(location) for location in expected} == expected
    assert not any(part in location for location in lines for part in ("g", "i", "x"))
    assert nearest_line(lines, ("b c", "d.e", 1, "x")) == 2
    assert nearest_line(lines, ("nothing",)) == 1


KEYS = st.text("abAB-_ .'\"#=[]{}é\\", min_size=1, max_size=4)


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(KEYS, min_size=1, max_size=6, unique=True), st.text("ab#=[]{}'\" \n", max_size=8))
def test_any_quoted_key_is_found_on_its_line(keys: list[str], value: str) -> None:
    body = value.replace('"', '\\"')
    text = "".join(f'# [x\n{quoted(key)} = """\n{body}"""\n[[{quoted(key + "!")}]]\nz = [\n1]\n' for key in keys[:1])
    text += "".join(f"{quoted(key)} = {n} # {quoted(key)}\n" for n, key in enumerate(keys[1:]))
    parsed = tomllib.loads(text)
    lines = key_lines(text)
    assert lines[keys[0],] == 2
    for key in keys[1:]:
        location = (keys[0] + "!", 0, key)
        if key != "z":
            assert text.splitlines()[lines[location] - 1].startswith(quoted(key))
            assert key in parsed[keys[0] + "!"][0]
