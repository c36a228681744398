"""BAGEL and CLEAR inference in plain PyTorch, one idea to a file.

`settings` says what is run; `checkpoint` and `loading` read the official files; `tokenizer`,
`images`, `vision`, `vae` and `language` are the model's parts and `bagel` joins them; `context`
holds keys and values; `chunks` puts text and pictures into a context; `decoding` writes text,
`denoising` restores a picture, and `interleave` is the loop in which the two take turns.
"""
