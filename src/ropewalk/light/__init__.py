"""A native model without torch: a text is read while torch would still be loading.

Knows the models that most people have and refuses the others, which the decoder then reads, or refuses in a sentence.
"""
