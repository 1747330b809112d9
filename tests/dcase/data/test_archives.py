import pytest

from firstshot.dcase.data.archives import PARTS, YEARS, machines_of, select_archives
from firstshot.errors import ParameterError

# Written out from the challenge's download lists: record, part, machine, archive.
KNOWN = [
    (2020, "dev", "ToyConveyor", 3678171, "dev_data_ToyConveyor.zip"),
    (2020, "train", "fan", 3727685, "eval_data_train_fan.zip"),
    (2020, "eval", "pump", 3841772, "eval_data_test_pump.zip"),
    (2021, "dev", "gearbox", 4562016, "dev_data_gearbox.zip"),
    (2021, "train", "ToyTrain", 4660992, "eval_data_ToyTrain_train.zip"),
    (2021, "eval", "valve", 4884786, "eval_data_valve_test.zip"),
    (2022, "dev", "bearing", 6355122, "dev_bearing.zip"),
    (2022, "train", "fan", 6462969, "eval_data_fan_train.zip"),
    (2022, "eval", "slider", 6586456, "eval_data_slider_test.zip"),
    (2023, "dev", "valve", 7882613, "dev_valve.zip"),
    (2023, "train", "Vacuum", 7830345, "eval_data_Vacuum_train.zip"),
    (2023, "eval", "bandsaw", 7860847, "eval_data_bandsaw_test.zip"),
    (2024, "dev", "ToyCar", 10902294, "dev_ToyCar.zip"),
    (2024, "train", "3DPrinter", 11259435, "eval_data_3DPrinter_train_r2.zip"),
    (2024, "train", "RoboticArm", 11259435, "eval_data_RoboticArm_train_r2.zip"),
    (2024, "train", "Scanner", 11259435, "eval_data_Scanner_train.zip"),
    (2024, "eval", "RoboticArm", 11363076, "eval_data_RoboticArm_test.zip"),
    (2025, "dev", "ToyTrain", 15097779, "dev_ToyTrain.zip"),
    (2025, "train", "AutoTrash", 15392814, "eval_data_AutoTrash_train.zip"),
    (2025, "eval", "ScrewFeeder", 15519362, "eval_data_ScrewFeeder_test.zip"),
    (2026, "dev", "ToyCar", 19336329, "dev_ToyCar_r2.zip"),
    (2026, "dev", "ToyCarEmu", 19336329, "dev_ToyCarEmu.zip"),
    (2026, "train", "Sander", 20151556, "eval_data_Sander_train.zip"),
    (2026, "eval", "ToyDrone", 20437238, "eval_data_ToyDrone_test.zip"),
]


@pytest.mark.parametrize(("year", "part", "machine", "record", "name"), KNOWN)
def test_an_archive_has_the_record_and_name_of_the_download_lists(
    year, part, machine, record, name
):
    (archive,) = select_archives(year, [part], [machine])
    assert (archive.record, archive.name) == (record, name)


def test_every_year_has_its_number_of_archives():
    counts = {year: tuple(len(machines_of(year, part)) for part in PARTS) for year in YEARS}
    assert counts == {
        2020: (6, 6, 6),
        2021: (7, 7, 7),
        2022: (7, 7, 7),
        2023: (7, 7, 7),
        2024: (7, 9, 9),
        2025: (7, 8, 8),
        2026: (7, 5, 5),
    }


def test_archive_names_differ_within_a_year_so_that_they_share_a_folder():
    for year in YEARS:
        names = [name for archive in select_archives(year) for name in archive.names]
        assert len(names) == len(set(names))


def test_training_and_test_clips_of_the_evaluation_set_share_a_folder():
    train, test = select_archives(2025, machines=["Polisher"])
    assert train.folder == test.folder == "eval_data/raw/Polisher"
    (dev,) = select_archives(2025, machines=["fan"])
    assert dev.folder == "dev_data/raw/fan"


def test_a_revised_archive_is_never_replaced_by_its_forerunner():
    (archive,) = select_archives(2026, ["dev"], ["ToyCar"])
    assert archive.names == ("dev_ToyCar_r2.zip",)
    (plain,) = select_archives(2026, ["dev"], ["fan"])
    assert plain.names == ("dev_fan.zip", "dev_data_fan.zip")


def test_an_unknown_machine_is_refused_with_the_machines_of_that_year():
    with pytest.raises(ParameterError) as caught:
        select_archives(2025, machines=["fridge"])
    message = str(caught.value)
    assert "'fridge'" in message
    assert "dev: bearing, fan, gearbox, slider, ToyCar, ToyTrain, valve" in message
    assert "train and eval: AutoTrash, BandSealer" in message


def test_a_machine_of_another_part_is_refused_with_the_part_that_has_it():
    with pytest.raises(ParameterError, match=r"'fan'.*it is in part dev.*there are train: Auto"):
        select_archives(2025, ["train"], ["fan"])


def test_an_unknown_year_or_part_is_refused_with_those_there_are():
    with pytest.raises(ParameterError, match=r"year 2019.*2020, 2021.*2026"):
        select_archives(2019)
    with pytest.raises(ParameterError, match=r"part 'test'.*dev, train, eval"):
        select_archives(2025, ["test"])
