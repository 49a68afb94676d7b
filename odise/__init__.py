__version__ = "0.1.0"

def __getattr__(name):
    "Heavy names come when they are asked for: `import odise` loads neither torch nor diffusers."
    if name == 'ODISE':
        from . import results   # gives every result its ways out
        from .hub import ODISE
        return ODISE
    if name == 'Vocabulary':
        from .text import Vocabulary
        return Vocabulary
    raise AttributeError(f"module 'odise' has no attribute {name!r}")
