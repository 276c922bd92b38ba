"""Tokens: UTF-8 bytes, graphemes and tokenizers, each with byte spans into the text."""
