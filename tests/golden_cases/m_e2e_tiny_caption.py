"The whole tiny model under caption supervision: the check of the label case, on the caption case's numbers."
from functools import partial

import m_e2e_tiny_label

check = partial(m_e2e_tiny_label.check, supervision='caption')
