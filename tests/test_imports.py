"""What is heavy is imported where it is used: a fresh Python tells."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys

import pytest

HEAVY = ("torch", "matplotlib", "scipy.stats", "sklearn", "pandas", "polars", "huggingface_hub")
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocked())
"""
LEARN = """
import numpy as np, firstshot, warnings
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
clips = [(0.1 * rng.standard_normal(4800), 16000) for _ in range(12)]
for normalizer in ("none", "domain_zscore", "local_density", "domain_local_density"):
    detector = firstshot.Detector(normalizer=normalizer, length="windows:0.2")
    detector.fit(clips[:6], clips[6:])
    detector.calibrate(0.2, "conformal")
    result = detector.predict((np.sin(np.arange(4800) * 0.3), 16000))
    assert result.is_anomaly and detector.explain(clips[0]).words
detector.save(FILE)
assert firstshot.Detector.load(FILE).score(clips[0]) == detector.score(clips[0])
ensemble = firstshot.Ensemble([firstshot.Detector("logmel"), firstshot.Detector(layers=[2])])
ensemble.fit(clips)
assert len(ensemble.score(clips)) == 12
print(sorted(m for m in HEAVY if m in sys.modules))
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SHOW = f"\nimport sys\nprint(sorted(m for m in {HEAVY!r} if m in sys.modules))"


@pytest.mark.parametrize(
    "code",
    [
        "import firstshot",
        "import firstshot; firstshot.Detector, firstshot.Ensemble, firstshot.list_encoders()",
        "import firstshot; firstshot.load_encoder('logmel')",
        "import firstshot.scoring, firstshot.dcase.evaluation.evaluate, firstshot.complexity",
    ],
)
def test_importing_brings_in_nothing_heavy(code):
    assert run(code + SHOW).splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["score", "--help"]])
def test_help_brings_in_nothing_heavy(arguments):
    code = f"import sys; sys.argv = ['firstshot', *{arguments!r}]\nfrom firstshot.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
    shown = run(code + SHOW)
    assert "Usage" in shown
    assert shown.splitlines()[-1] == "[]"


def test_without_torch_learning_judging_explaining_and_saving_work(tmp_path):
    code = f"{BLOCK}\nHEAVY = {HEAVY!r}\nFILE = {str(tmp_path / 'x.firstshot')!r}\n{LEARN}"
    assert "torch" not in run(code)


def test_the_public_names_are_there_and_others_are_refused():
    import firstshot

    assert dir(firstshot) == sorted(set(firstshot.__all__))
    for name in firstshot.__all__:
        assert getattr(firstshot, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Detecter'"):
        _ = firstshot.Detecter


def test_help_shows_the_whole_public_surface_and_each_name_says_what_it_is():
    import firstshot

    shown = pydoc.render_doc(firstshot, renderer=pydoc.plaintext)
    for name in set(firstshot.__all__) - {"__version__"}:
        thing = getattr(firstshot, name)
        kind = "class " if isinstance(thing, type) else ""
        assert re.search(rf"^    {kind}{name}\(", shown, re.MULTILINE), name
        assert inspect.getdoc(thing) and vars(thing).get("__doc__", True)
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            public = not member.startswith("_") and callable(getattr(value, "__func__", value))
            assert not public or inspect.getdoc(value), f"{name}.{member}"


def test_every_error_is_exported():
    import firstshot
    from firstshot import errors

    found = {
        n
        for n, c in vars(errors).items()
        if isinstance(c, type) and c.__module__ == errors.__name__
    }
    named = {n for n in firstshot.__all__ if isinstance(getattr(firstshot, n), type)}
    assert found <= named
    for name in found - {"FirstshotWarning"}:
        assert issubclass(getattr(firstshot, name), firstshot.FirstshotError)
