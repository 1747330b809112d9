"""Systems are files: packaged ones load, a copy may be changed, a mistake is named in one line."""

from __future__ import annotations

from importlib import resources

import pytest

from firstshot.dcase.running.system import list_systems, load_system
from firstshot.errors import FirstshotError, ParameterError


def packaged(name: str) -> str:
    return (resources.files("firstshot.dcase") / "systems" / f"{name}.toml").read_text("utf-8")


@pytest.mark.parametrize("name", list_systems())
def test_every_packaged_system_loads_under_its_own_name(name):
    assert load_system(name).name == name


def test_a_copied_and_changed_file_is_a_system(tmp_path):
    text = packaged("embedded").replace("k_target = 9", "k_target = 3")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "embedded"', 'name = "mine"'))
    system = load_system(str(path))
    assert system.name == "mine"
    assert system.normalizer_settings == {"k_source": 16, "k_target": 3}
    assert system.encoders == load_system("embedded").encoders


def test_another_normaliser_comes_with_its_own_defaults():
    system = load_system("embedded").changed({"normalizer": "none"})
    assert (system.normalizer, system.normalizer_settings) == ("none", {})
    assert system.detector(system.encoders[0]).embedding_settings().encoder.name == "logmel"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('metric = "sqeuclidean"', 'metirc = "sqeuclidean"', "'metirc'"),
        ('metric = "sqeuclidean"', 'metric = "cosin"', "'cosin'"),
        ('transform = "standardize"', 'transform = "standardise"', "'standardise'"),
        ("k_source = 16", "k_sorce = 16", "'k_sorce'"),
        ("k_source = 16", "k_source = 0", "k_source"),
        ('length = "native"', "length = 10", "'length'"),
        ('length = "native"', 'length = "10s"', "10s"),
        ('threshold = "gamma"', 'threshold = "gama"', "'threshold'"),
        ("false_alarm_rate = 0.1", "false_alarm_rate = 2", "'false_alarm_rate'"),
        ("layers = [1]", "layers = [3]", "layer 3"),
        ("layers = [1]", 'layers = ["a"]', "encoders.0.layers.0"),
        ('name = "logmel"', 'name = "logmle"', "'logmle'"),
        ('metric = "sqeuclidean"', "metric = ", "not valid TOML"),
        ("[[encoders]]", "[[encoder]]", "'encoder"),
    ],
)
def test_a_mistake_is_named_in_one_line_before_a_clip_is_read(tmp_path, old, new, named):
    text = packaged("embedded")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(FirstshotError) as caught:
        system = load_system(str(path))
        system.detector(system.encoders[0]).embedding_settings()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_system_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(ParameterError, match="embedded"):
        load_system("embeded")
    with pytest.raises(ParameterError, match=r"gone\.toml: no such system file"):
        load_system(str(tmp_path / "gone.toml"))


@pytest.mark.parametrize("name", ["embedded", "baseline_mse"])
def test_the_threshold_of_a_system_may_be_set_by_another_method(name):
    system = load_system(name)
    changed = system.changed({"threshold": "conformal", "false_alarm_rate": 0.2})
    assert (changed.threshold, changed.false_alarm_rate) == ("conformal", 0.2)
    same = {"threshold": system.threshold, "false_alarm_rate": system.false_alarm_rate}
    assert changed.model_copy(update=same) == system
    with pytest.raises(ParameterError, match=r"field 'threshold': .*'gamma', .*'conformal'"):
        system.changed({"threshold": "median"})


def test_settings_take_the_place_of_what_a_system_says():
    system = load_system("system1")
    changed = system.changed(
        {
            "layers": (7, 10),
            "metric": "cosine",
            "encoder_settings": {"device": "cpu"},
            "normalizer_settings": {"k_source": 4},
        }
    )
    assert [choice.layers for choice in changed.encoders] == [(7, 10)] * 5
    assert [choice.settings for choice in changed.encoders] == [{"device": "cpu"}] * 5
    assert changed.normalizer_settings == {"k_source": 4, "k_target": 9}
    assert changed.metric == "cosine"
    assert system == load_system("system1")


def test_another_encoder_takes_the_place_of_all_and_another_normaliser_begins_anew():
    changed = load_system("system3").changed(
        {"encoder": "logmel", "normalizer": "local_density", "normalizer_settings": {"k": 3}}
    )
    assert [(choice.name, choice.layers) for choice in changed.encoders] == [("logmel", None)]
    assert changed.normalizer_settings == {"k": 3}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("embedded", {"metric": "cosin"}, "metric 'cosin' is not known"),
        ("embedded", {"normalizer_settings": {"k": 3}}, "no parameter 'k'; it takes k_source"),
        ("embedded", {"length": "fixed"}, "length"),
        ("embedded", {"pooling": "mean"}, "field 'pooling'"),
        ("system1", {"encoder_settings": {"weights": "a.pt"}}, "it has several encoders"),
        ("baseline_mse", {"metric": "cosine"}, "metric 'cosine' with baseline_mse: .* has none"),
    ],
)
def test_a_setting_that_a_system_cannot_have_is_refused(name, settings, said):
    with pytest.raises(ParameterError, match=said):
        load_system(name).changed(settings)


def test_a_field_that_is_new_is_left_out_where_it_changes_nothing():
    system = load_system("embedded")
    assert "bank_precision" not in system.model_dump(mode="json")
    changed = system.changed({"bank_precision": "float16"})
    assert changed.model_dump(mode="json")["bank_precision"] == "float16"
    assert changed.detector(changed.encoders[0]).bank_precision == "float16"


def test_a_system_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"name = \xff\xfe")
    with pytest.raises(ParameterError, match=r"bytes\.toml: .*UTF-8"):
        load_system(str(path))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"domain_local_density"', '"domain_local_densty"', "normaliser 'domain_local_densty'"),
        ("k_source = 16", "k_source = -3", "k_source=-3"),
        ('length = "native"', 'length = "fixed:-1"', "length policy 'fixed:-1'"),
        ('length = "native"', "channel = true", "channel"),
        ('name = "embedded"', 'name = "../evil"', "name"),
    ],
)
def test_every_fault_of_a_file_names_the_file(tmp_path, old, new, told):
    path = tmp_path / "mine.toml"
    assert old in packaged("embedded")
    path.write_text(packaged("embedded").replace(old, new))
    with pytest.raises(ParameterError) as error:
        load_system(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 100_000, r"not valid TOML \(it is nested more than 32 deep\)"),
        ("name = 'x'\nfalse_alarm_rate = nan", "the number nan is not finite"),
        (
            "name = 'x'\n[[encoders]]\nname = 'logmel'\nlayers = [1.5]",
            r"field 'encoders\.0\.layers",
        ),
        ("name = 'x'\nmemmixup = 1\n[[encoders]]\nname = 'logmel'", "field 'memmixup'"),
        ("name = 1979-05-27", "holds 1979-05-27, which is no text"),
        ("autoencoder = 'mse'\nname = 'x'\nseeds = []", "field 'seeds'"),
        ("autoencoder = 'mse'\nname = 'x'\n[training]\nepochs = '5'", r"field 'training\.epochs'"),
        (
            "name = 'x'\n[[encoders]]\nname = 'logmel'\n[normalizer_settings]\nmetric = 1",
            "normalizer_settings has 'metric', which is not a parameter",
        ),
    ],
)
def test_a_value_of_another_type_is_not_converted_but_refused(tmp_path, text, told):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=told) as caught:
        load_system(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": (7,)}, r"layers \(7,\) with recommended: each of its views has its own"),
        ({"metric": "sqeuclidean"}, "metric 'sqeuclidean' with recommended"),
        ({"normalizer_settings": {"k": 3}}, "normalizer_settings .* with recommended"),
        ({"views": "recommended_small", "transform": "none"}, "transform 'none' with recommended_"),
    ],
)
def test_what_each_view_has_of_its_own_cannot_be_set_for_all(settings, words):
    with pytest.raises(ParameterError, match=words):
        load_system("recommended").changed(settings)


def test_a_preset_takes_the_place_of_a_systems_encoders_and_an_encoder_that_of_views():
    small = load_system("embedded").changed({"views": "recommended_small"})
    assert small.views == load_system("recommended_small").views
    changed = load_system("recommended").changed({"encoder": "logmel"})
    assert [choice.name for choice in changed.encoders] == ["logmel"]
    assert changed.views == ()


@pytest.mark.parametrize("field", ["normalizer", "metric", "transform", "pooling"])
def test_a_view_of_an_unknown_way_is_refused_with_the_file(field, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\n[[views]]\nencoder = "spectra"\n{field} = "wrong"\n')
    with pytest.raises(ParameterError, match=r"mine\.toml: .*wrong"):
        load_system(str(path))


def test_the_encoders_of_views_are_named_once_with_their_layers():
    fusion = load_system("recommended_fusion")
    assert [(choice.name, choice.layers) for choice in fusion.choices] == [
        ("spectra", (1, 2, 3, 4)),
        ("efficientat_mn04", (7, 9, 13)),
    ]
