"""Checkpoints as files: where they are, what identifies them, whether they are safe, and which vocabularies fit.

Only JSON and bytes are read here; nothing imports torch, so that a board can be checked before anything is loaded.
"""

from opdbench.checkpoints.files import (
    SCRIPT,
    TOKENIZER_FILES,
    architecture,
    check_safe,
    content_hash,
    read_json,
)
from opdbench.checkpoints.locate import locate
from opdbench.checkpoints.vocabulary import SharedVocabulary, Vocabulary, check_endings, compatible, vocabulary

__all__ = [
    "SCRIPT",
    "TOKENIZER_FILES",
    "SharedVocabulary",
    "Vocabulary",
    "architecture",
    "check_endings",
    "check_safe",
    "compatible",
    "content_hash",
    "locate",
    "read_json",
    "vocabulary",
]
