"""BAGEL and CLEAR in plain PyTorch, for the adapter and for training; torch is needed (extra `clear`).

`settings` holds sizes and settings; `checkpoint` and `loading` read the official files; `tokenizer`,
`images`, `vision`, `vae` and `language` are the model's parts, which `bagel` joins; `context` holds keys
and values; `chunks` appends texts and pictures to a context; `decoding` generates text, `denoising`
restores a picture, `dialogue` alternates the two, and `answers` reads the answer at its end.
"""
