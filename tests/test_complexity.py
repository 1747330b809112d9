import subprocess
import sys

import pytest

from firstshot.complexity import (
    AUTOENCODER,
    PUBLISHED,
    SYSTEM_ENCODERS,
    AutoencoderGeometry,
    complexity,
    complexity_table,
    total,
)
from firstshot.encoders.specs import SPECS
from firstshot.encoders.specs.beats import BeatsGeometry
from firstshot.encoders.specs.ced import CedGeometry
from firstshot.encoders.specs.eat import EatGeometry
from firstshot.encoders.specs.m2d import M2dGeometry
from firstshot.errors import ParameterError

BEATS, M2D_CLAP, EAT_BASE, EAT_LARGE, _, CED_TINY, *_ = (s.geometry for s in SPECS.values())

# thop 0.1.1 on the originals: MACs of a 10 s and a 6 s clip, parameters. The EAT
# family pads 6 s to the 1024 frames of 10 s.
COUNTED = {
    "beats_ft1": (45_009_203_200, None, 90_713_071),
    "m2d_clap": (26_499_511_296, 16_274_543_616, 85_253_376),
    "eat": (43_711_540_224, 43_711_540_224, 85_253_376),
    "sslam": (43_711_540_224, 43_711_540_224, 85_253_376),
    "eat_large": (155_157_991_424, 155_157_991_424, 302_574_592),
    "ced_tiny": (1_333_796_672, 796_017_472, 5_490_319),
    "ced_mini": (2_363_415_552, 1_410_481_152, 9_679_503),
    "ced_small": (5_300_311_424, 3_163_172_224, 21_596_815),
    "ced_base": (21_132_263_936, 12_611_355_136, 85_660_303),
    "efficientat_mn04": (110_643_072, None, 983_599),
    "efficientat_mn10": (541_078_208, None, 4_876_831),
}
# Parameters of the original modules less heads, fixed position tables and data.
LEARNED = {
    "beats_ft1": 90_311_792,
    "m2d_clap": 85_492_994 - 238_848 - 2,
    "eat": 85_254_144,
    "sslam": 85_254_144,
    "eat_large": 302_575_616,
    "ced_tiny": 5_401_088,
    "ced_mini": 9_560_704,
    "ced_small": 21_418_880,
    "ced_base": 85_304_960,
    "efficientat_mn04": 516_128,
    "efficientat_mn10": 2_971_664,
}
# Tokens of a 10 s clip, CLS included, for the two products inside attention.
TOKENS = {"beats_ft1": 496, "m2d_clap": 311, "eat": 513, "sslam": 513, "eat_large": 513}
TOKENS |= dict.fromkeys(("efficientat_mn04", "efficientat_mn10"), 0)
TOKENS |= dict.fromkeys(("ced_tiny", "ced_mini", "ced_small", "ced_base"), 248)


def test_every_pre_trained_encoder_is_counted():
    assert set(COUNTED) == set(LEARNED) == set(TOKENS) == set(SPECS)


@pytest.mark.parametrize("name", COUNTED)
def test_counts_of_ten_seconds_are_thop_s_to_the_last_digit(name):
    macs, _, parameters = COUNTED[name]
    row = complexity(name)
    assert (row.macs, row.parameters) == (macs, parameters)
    assert row.learned_parameters == LEARNED[name]


@pytest.mark.parametrize("name", [name for name, counts in COUNTED.items() if counts[1]])
def test_counts_of_six_seconds_are_thop_s_to_the_last_digit(name):
    assert complexity(name, samples=96000).macs == COUNTED[name][1]


@pytest.mark.parametrize("name", COUNTED)
def test_attention_adds_two_products_of_every_token_with_every_token(name):
    row, geometry = complexity(name), SPECS[name].geometry
    products = geometry.depth * 2 * TOKENS[name] ** 2 * geometry.dim_of(1)
    assert row.macs_with_attention - row.macs == products


def test_six_seconds_of_beats_follow_the_closed_formula():
    tokens = 37 * 8
    expected = 12 * 7_077_888 * tokens + 12 * 12 * tokens * 512 + 4 * (512 + 25 * 768) * tokens
    expected += tokens * (393_216 + 131_072 + 404_736) + (tokens + 1) * 768 * 48 * 128
    assert complexity("beats_ft1", samples=96000).macs == expected


def test_m2d_with_608_frames_encodes_ten_seconds_as_two_pieces():
    assert M2dGeometry(piece_frames=608).steps(160000) == (38, 25)
    assert M2dGeometry(piece_frames=608).macs(160000) == 27_010_563_072


def test_eat_padded_to_whole_patches_only_has_38_steps_of_six_seconds():
    native = EatGeometry(least_frames=16)
    assert native.grid(96000, 1) == (38, 8)
    assert native.macs(96000) == 12 * 7_077_888 * 305 + 304 * 768 * 256 + 25 * 4 * 305 * 768


def test_a_long_clip_of_ced_costs_its_pieces_each_with_a_head():
    one_piece = CED_TINY.macs(1011 * 160) - 4 * 64 * 1012
    assert CED_TINY.steps(3000 * 160) == (63, 63, 63)
    assert CED_TINY.macs(3000 * 160) == 3 * one_piece + 4 * 64 * 3001


@pytest.mark.parametrize(
    ("geometry", "samples", "grid"),
    [
        (BEATS, 160000, (62, 8)),
        (BEATS, 96000, (37, 8)),
        (BEATS, 2800, (1, 8)),
        (BEATS, 2799, (0, 8)),
        (EAT_BASE, 160000, (64, 8)),
        (EAT_BASE, 96000, (64, 8)),
        (EAT_LARGE, 192000, (75, 8)),
        (CED_TINY, 160000, (62, 4)),
        (CED_TINY, 96000, (37, 4)),
        (CED_TINY, 196800, (126, 4)),
        (M2D_CLAP, 160000, (62, 5)),
        (M2D_CLAP, 96000, (38, 5)),
        (M2D_CLAP, 192000, (75, 5)),
        (M2D_CLAP, 196800, (77, 5)),
    ],
)
def test_grids_are_those_of_the_specifications(geometry, samples, grid):
    assert geometry.grid(samples, 1) == grid


def test_small_geometries_count_the_values_of_the_stored_small_models():
    # 364,277 and 57,725 values: the whole small checkpoints of the EAT and BEATs fixtures.
    eat = EatGeometry(dim=48, heads=4, depth=2)
    head = 2 * 48 + 5 * 48 + 5
    assert eat.learned_parameters() + head + 6144 * 48 == 364_277
    beats = BeatsGeometry(
        dim=48,
        heads=4,
        depth=2,
        hidden=96,
        patch_dim=32,
        kernel=16,
        groups=4,
        buckets=32,
        classes=5,
    )
    assert beats.learned_parameters() + 5 * 49 == 57_725
    ced = CedGeometry(dim=32, heads=2, depth=2, classes=11)
    assert ced.counted_parameters() - ced.learned_parameters() == 64 + 11 * 33 - 32 * 67


@pytest.mark.parametrize("name", SYSTEM_ENCODERS)
def test_systems_sum_their_encoders(name):
    row = complexity(name)
    assert row.macs == sum(COUNTED[encoder][0] for encoder in SYSTEM_ENCODERS[name])
    assert row.parameters == sum(COUNTED[encoder][2] for encoder in SYSTEM_ENCODERS[name])


def test_the_large_systems_count_271_71_g_and_569_28_m():
    for name in ("system1", "system2", "system3"):
        assert (complexity(name).macs, complexity(name).parameters) == (
            271_712_042_816,
            569_284_734,
        )


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "system4"])
def test_the_report_s_parameters_and_macs_are_met_as_printed(name):
    giga, mega = PUBLISHED[name]
    # The baseline's figure is twice its MACs: a multiplication and an addition each.
    per_mac = 2 if name == AUTOENCODER else 1
    assert round(per_mac * complexity(name).macs / 1e9, 2) == giga
    assert round(complexity(name).parameters / 1e6, 2) == mega


def test_system4_is_ced_tiny_though_the_report_rounds_it_upwards():
    assert complexity("system4").macs == 1_333_796_672
    assert PUBLISHED["system4"] == (1.34, 5.49)
    assert abs(complexity("system4").macs / 1e9 - 1.34) < 0.01


def test_the_autoencoder_is_counted_per_vector():
    baseline = AutoencoderGeometry()
    assert baseline.macs(2560) == 2 * 268_320
    assert baseline.vectors(192000) == 372
    assert complexity(AUTOENCODER).macs == 309 * 268_320
    assert complexity(AUTOENCODER).parameters == 267_928


def test_the_table_has_every_name_that_the_report_prints():
    names = [row.name for row in complexity_table()]
    assert set(PUBLISHED) <= set(names)
    assert len(names) == len(set(names))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ParameterError, match=r"'ced_huge' has no counts; .*beats_ft1.*system4"):
        complexity("ced_huge")


@pytest.mark.parametrize(
    ("name", "shortest"), [("ced_tiny", 2400), ("m2d_clap", 201), ("system1", 2800)]
)
def test_a_clip_too_short_for_one_token_is_refused(name, shortest):
    assert complexity(name, samples=shortest).macs > 0
    with pytest.raises(ParameterError, match="too short"):
        complexity(name, samples=shortest - 1)


def test_a_clip_too_short_for_the_autoencoder_is_refused():
    assert complexity(AUTOENCODER, samples=2048).macs == 268_320
    with pytest.raises(ParameterError, match="at least 2048"):
        complexity(AUTOENCODER, samples=2047)


def test_totals_add_whatever_encoders_are_named():
    assert total("pair", ["ced_tiny", "ced_mini"]).macs == 1_333_796_672 + 2_363_415_552


def test_counting_needs_neither_torch_nor_scipy():
    script = (
        "import sys; from firstshot.complexity import complexity_table; complexity_table(); "
        "print([name for name in ('torch', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
