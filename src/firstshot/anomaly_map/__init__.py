"""Where in a clip, in time and frequency, it differs from normal sound."""

from firstshot.anomaly_map.bank import AnomalyMap, MapBank
from firstshot.anomaly_map.kept import KeptCells
from firstshot.anomaly_map.place import Place, find_place
from firstshot.anomaly_map.vectors import CELL_SECONDS, GROUP_EDGES_HZ, ClipCells, cells_of
from firstshot.anomaly_map.words import Region, describe

__all__ = [
    "CELL_SECONDS",
    "GROUP_EDGES_HZ",
    "AnomalyMap",
    "ClipCells",
    "KeptCells",
    "MapBank",
    "Place",
    "Region",
    "cells_of",
    "describe",
    "find_place",
]
