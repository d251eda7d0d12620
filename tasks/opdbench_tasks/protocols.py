"""The evaluation protocols of four papers; ``protocols.toml`` says where each value is from."""

from importlib.resources import files

from opdbench.api import EvaluationProtocol, read_protocols

_ALL = read_protocols(files("opdbench_tasks").joinpath("protocols.toml").read_text(encoding="utf-8"))

GOPD: EvaluationProtocol = _ALL["gopd"]
TGPO: EvaluationProtocol = _ALL["tgpo"]
TRD: EvaluationProtocol = _ALL["trd"]
TROPD: EvaluationProtocol = _ALL["tropd"]
