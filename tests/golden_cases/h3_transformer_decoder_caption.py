"The mask decoder with a class head: the check of the label case, on the caption case's numbers."
import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location('h3_label', Path(__file__).with_name('h3_transformer_decoder_label.py'))
label = importlib.util.module_from_spec(spec)
spec.loader.exec_module(label)
check = label.check
