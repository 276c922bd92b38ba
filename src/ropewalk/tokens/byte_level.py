"""The characters that byte-level vocabularies (GPT-2, Llama 3, Qwen) write for bytes.

Printable bytes stand for themselves; the 68 others are written from U+0100 on, in order.
"""

_PRINTABLE = {*range(33, 127), *range(161, 173), *range(174, 256)}
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

LETTERS: dict[int, str] = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + i) for i, byte in enumerate(_OTHERS)
}
BYTES: dict[str, int] = {letter: byte for byte, letter in LETTERS.items()}
