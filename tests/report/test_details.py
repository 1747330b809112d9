"""Tables of details: percent, counts with shares, and nothing that says nothing."""

from __future__ import annotations

from firstshot.report.details import detail_tables
from firstshot.scoring.details import AttributeResult, Details

OFFICIAL = {"auc_source": 0.9, "auc_target": 0.8, "pauc": 0.7, "official_score": 0.79}


def test_a_value_has_its_counts_shares_and_auc():
    attributes = (
        AttributeResult("rpm_800", 10, 4, 5, 1, 0.875),
        AttributeResult("rpm_900", 3, 3, 0, 0, None),
    )
    (table,) = detail_tables("fan", Details(attributes))
    assert table.title == "fan: by attribute value"
    assert table.header == (
        "Attribute", "Clips", "Called anomalous", "Normal clips", "False alarms", "AUC",
    )  # fmt: skip
    assert table.rows == (
        ("rpm_800", "10", "4 (40 %)", "5", "1 (20 %)", "87.50"),
        ("rpm_900", "3", "3 (100 %)", "0", "–", "–"),
    )


def test_without_labels_a_value_has_its_decisions_only():
    (table,) = detail_tables("fan", Details((AttributeResult("a_1", 4, 1),)))
    assert table.header == ("Attribute", "Clips", "Called anomalous")
    assert table.rows == (("a_1", "4", "1 (25 %)"),)


def test_one_encoder_or_part_is_the_whole_and_has_no_table():
    assert detail_tables("fan", Details()) == []
    assert detail_tables("fan", Details((), {"a": OFFICIAL}, {"a": OFFICIAL})) == []
    tables = detail_tables("fan", Details((), {"a": OFFICIAL}, {"a": OFFICIAL, "b": OFFICIAL}))
    assert [table.title for table in tables] == ["fan: by part"]
    assert tables[0].rows[0] == ("a", "90.00", "80.00", "70.00", "79.00")
