"""Recordings: importers, the store, named splits, synthetic motion."""

from __future__ import annotations

from edgeskel.data.importers import ImportReport, import_dataset
from edgeskel.data.protocols import Split, split
from edgeskel.data.store import Store
from edgeskel.data.store_writer import StoreWriter

__all__ = ["ImportReport", "Split", "Store", "StoreWriter", "import_dataset", "split"]
