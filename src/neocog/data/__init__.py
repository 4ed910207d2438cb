"""Load data sets, draw minibatches, and augment images."""

from neocog.data.augmentation import Affine, ColorJitter, Compose, Crop, Erase, Flip, Noise, Shift
from neocog.data.batches import batches
from neocog.data.csv_file import load_csv
from neocog.data.digits import digits
from neocog.data.folder import LazyImages, image_folder, load_image
from neocog.data.idx import load_idx
from neocog.data.lines import PATTERNS, base_pattern, line_patterns
from neocog.data.npz import load_npz
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import Split
from neocog.data.stratified import stratified_split
from neocog.data.summary import DataSummary

__all__ = [
    "PATTERNS",
    "Affine",
    "ColorJitter",
    "Compose",
    "Crop",
    "DataSummary",
    "Erase",
    "Flip",
    "LazyImages",
    "Noise",
    "Preprocessing",
    "Shift",
    "Split",
    "base_pattern",
    "batches",
    "digits",
    "image_folder",
    "line_patterns",
    "load_csv",
    "load_idx",
    "load_image",
    "load_npz",
    "stratified_split",
]
