"One training step under caption supervision: the check of the label case, on the caption case's numbers."
from functools import partial

import n_train_tiny_label

check = partial(n_train_tiny_label.check, supervision='caption')
